#include <stdio.h>

#include "brighten.h"

int main(void) {
  uint8_t bytes[] = {0, 100, 200};
  brighten_bytes(bytes, 3, 1.5f);
  float floats[] = {0.5f, 0.9f};
  brighten_floats(floats, 2, 1.5f);
  int good = bytes[0] == 0 && bytes[1] == 150 && bytes[2] == 255 && floats[0] == 0.75f && floats[1] == 1.0f;
  puts(good ? "ok" : "FAILED");
  return !good;
}
