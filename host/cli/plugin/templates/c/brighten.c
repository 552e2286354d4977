#include "brighten.h"

void brighten_bytes(uint8_t *samples, size_t count, float amount) {
  for (size_t i = 0; i < count; i++) {
    float value = (float)samples[i] * amount + 0.5f;
    samples[i] = value > 255.0f ? 255 : (uint8_t)value;
  }
}

void brighten_floats(float *samples, size_t count, float amount) {
  for (size_t i = 0; i < count; i++) {
    float value = samples[i] * amount;
    samples[i] = value < 0.0f ? 0.0f : value > 1.0f ? 1.0f : value;
  }
}
