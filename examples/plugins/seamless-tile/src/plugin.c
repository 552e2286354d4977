// Seamless Tile: the plugin's side that talks to the host. The work is done in seam.c.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"
#include "seam.h"

#define NODE "Seamless Tile"

typedef exports_dc_graph_node_nodes_input_port_t input_port_t;
typedef exports_dc_graph_node_nodes_output_port_t output_port_t;
typedef dc_graph_node_types_value_t value_t;
typedef dc_graph_node_types_image_t image_t;

// What is returned is freed by the bindings, hence copies of all texts.
static plugin_string_t text(const char *words) {
  plugin_string_t copy;
  plugin_string_dup(&copy, words);
  return copy;
}

static input_port_t integer_port(const char *name, int64_t value, double minimum, double maximum, const char *words) {
  input_port_t port = {text(name), text("core:integer"), text(words), false};
  port.default_value.is_some = true;
  port.default_value.val.tag = DC_GRAPH_NODE_TYPES_VALUE_INTEGER;
  port.default_value.val.val.integer = value;
  port.minimum = (plugin_option_f64_t){true, minimum};
  port.maximum = (plugin_option_f64_t){true, maximum};
  return port;
}

void exports_dc_graph_node_nodes_describe(exports_dc_graph_node_nodes_list_node_spec_t *ret) {
  input_port_t *inputs = calloc(3, sizeof *inputs);
  inputs[0] = (input_port_t){text("image"), text("core:image"), text("The picture"), true};
  inputs[1] = integer_port("overlap", 0, 0, 4096,
                           "How many pixels of opposite edges are laid over each other; 0 for an eighth of the shorter side");
  inputs[2] = integer_port("feather", 2, 0, 64, "How many pixels on each side of the cut are mixed");
  output_port_t *outputs = calloc(1, sizeof *outputs);
  outputs[0] = (output_port_t){text("image"), text("core:image"),
                               text("The tile: `overlap` pixels narrower and lower than the picture")};
  ret->ptr = calloc(1, sizeof *ret->ptr);
  ret->len = 1;
  ret->ptr[0] = (exports_dc_graph_node_nodes_node_spec_t){
      .type_name = text(NODE),
      .category = text("image"),
      .description = text("Makes a picture that can be laid side by side without a visible edge. Opposite edges are laid over "
                          "each other and cut where they agree best."),
      .version = 1,
      .deterministic = true,
      .effect = false,
      .inputs = {inputs, 3},
      .outputs = {outputs, 1},
  };
}

static value_t *find(exports_dc_graph_node_nodes_list_named_value_t *inputs, const char *name) {
  for (size_t i = 0; i < inputs->len; i++)
    if (inputs->ptr[i].name.len == strlen(name) && memcmp(inputs->ptr[i].name.ptr, name, strlen(name)) == 0)
      return &inputs->ptr[i].value;
  abort();  // The host gives every input of the spec.
}

static picture_t read_image(const image_t *image) {
  plugin_list_u8_t bytes;
  dc_graph_node_types_method_buffer_read_all(dc_graph_node_types_borrow_buffer(image->data), &bytes);
  picture_t picture = {image->width, image->height, image->channels, (float *)bytes.ptr};
  if (image->elements == DC_GRAPH_NODE_TYPES_ELEMENT_TYPE_UINT8) {
    picture.samples = malloc(bytes.len * sizeof(float));
    for (size_t i = 0; i < bytes.len; i++) picture.samples[i] = (float)bytes.ptr[i] / 255.0f;
    plugin_list_u8_free(&bytes);
  }
  return picture;
}

static image_t write_image(const picture_t *picture, dc_graph_node_types_element_type_t elements) {
  size_t count = picture->width * picture->height * picture->channels;
  plugin_list_u8_t bytes = {(uint8_t *)picture->samples, count * sizeof(float)};
  if (elements == DC_GRAPH_NODE_TYPES_ELEMENT_TYPE_UINT8) {
    // In place: a byte is never written before the sample it comes from was read.
    for (size_t i = 0; i < count; i++) bytes.ptr[i] = (uint8_t)(picture->samples[i] * 255.0f + 0.5f);
    bytes.len = count;
  }
  return (image_t){(uint32_t)picture->width, (uint32_t)picture->height, (uint32_t)picture->channels, elements,
                   dc_graph_node_types_static_buffer_from_bytes(&bytes)};
}

bool exports_dc_graph_node_nodes_run(plugin_string_t *node, exports_dc_graph_node_nodes_list_named_value_t *inputs,
                                     exports_dc_graph_node_nodes_list_named_value_t *ret,
                                     exports_dc_graph_node_nodes_failure_t *err) {
  (void)node;
  const image_t *image = &find(inputs, "image")->val.image;
  size_t overlap = (size_t)find(inputs, "overlap")->val.integer;
  size_t feather = (size_t)find(inputs, "feather")->val.integer;
  size_t side = image->width < image->height ? image->width : image->height;
  if (overlap == 0) overlap = side / 8 < 1 ? 1 : side / 8;
  if (overlap * 2 > side) {
    char message[128];
    snprintf(message, sizeof message, "expected at most half of the shorter side (%zu of %zu pixels), found %zu", side / 2, side,
             overlap);
    *err = (exports_dc_graph_node_nodes_failure_t){text(message), {true, text("overlap")}, {false}};
    return false;
  }
  picture_t picture = read_image(image);
  picture_t narrow = seam_join(&picture, overlap, feather, false);
  free(picture.samples);
  dc_graph_node_host_progress(1, 2);
  picture_t turned = seam_transpose(&narrow);
  free(narrow.samples);
  picture_t low = seam_join(&turned, overlap, feather, true);
  free(turned.samples);
  picture_t tile = seam_transpose(&low);
  free(low.samples);

  ret->ptr = calloc(1, sizeof *ret->ptr);
  ret->len = 1;
  ret->ptr[0].name = text("image");
  ret->ptr[0].value.tag = DC_GRAPH_NODE_TYPES_VALUE_IMAGE;
  ret->ptr[0].value.val.image = write_image(&tile, image->elements);
  free(tile.samples);
  exports_dc_graph_node_nodes_list_named_value_free(inputs);
  return true;
}
