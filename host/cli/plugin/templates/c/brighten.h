#include <stddef.h>
#include <stdint.h>

// Samples from 0 to 255.
void brighten_bytes(uint8_t *samples, size_t count, float amount);
// Samples from 0 to 1.
void brighten_floats(float *samples, size_t count, float amount);
