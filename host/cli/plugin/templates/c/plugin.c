// {{node}}: what the node looks like and how it runs.

#include "bindings/plugin.h"

#include <stdlib.h>

#include "brighten.h"

// What is returned is freed by the bindings, hence copies of all texts.
static plugin_string_t text(const char *words) {
  plugin_string_t copy;
  plugin_string_dup(&copy, words);
  return copy;
}

void exports_dc_graph_node_nodes_describe(exports_dc_graph_node_nodes_list_node_spec_t *ret) {
  exports_dc_graph_node_nodes_input_port_t *inputs = calloc(2, sizeof *inputs);
  inputs[0].name = text("image");
  inputs[0].port_type = text("core:image");
  inputs[0].description = text("The picture");
  inputs[0].required = true;
  inputs[1].name = text("amount");
  inputs[1].port_type = text("core:number");
  inputs[1].description = text("What all samples are multiplied by");
  inputs[1].default_value.is_some = true;
  inputs[1].default_value.val.tag = DC_GRAPH_NODE_TYPES_VALUE_NUMBER;
  inputs[1].default_value.val.val.number = 1.2;
  inputs[1].minimum = (plugin_option_f64_t){true, 0};
  inputs[1].maximum = (plugin_option_f64_t){true, 10};
  exports_dc_graph_node_nodes_output_port_t *outputs = calloc(1, sizeof *outputs);
  outputs[0].name = text("image");
  outputs[0].port_type = text("core:image");
  outputs[0].description = text("The brighter picture");
  ret->len = 1;
  ret->ptr = calloc(1, sizeof *ret->ptr);
  ret->ptr[0].type_name = text("{{node}}");
  ret->ptr[0].category = text("image");
  ret->ptr[0].description = text("Makes a picture brighter.");
  ret->ptr[0].version = 1;
  ret->ptr[0].deterministic = true;
  ret->ptr[0].inputs.ptr = inputs;
  ret->ptr[0].inputs.len = 2;
  ret->ptr[0].outputs.ptr = outputs;
  ret->ptr[0].outputs.len = 1;
}

bool exports_dc_graph_node_nodes_run(plugin_string_t *node, exports_dc_graph_node_nodes_list_named_value_t *inputs,
                                     exports_dc_graph_node_nodes_list_named_value_t *ret,
                                     exports_dc_graph_node_nodes_failure_t *err) {
  (void)node;
  (void)err;
  // In the order of the spec.
  dc_graph_node_types_image_t image = inputs->ptr[0].value.val.image;
  float amount = (float)inputs->ptr[1].value.val.number;
  plugin_list_u8_t data;
  dc_graph_node_types_method_buffer_read_all(dc_graph_node_types_borrow_buffer(image.data), &data);
  if (image.elements == DC_GRAPH_NODE_TYPES_ELEMENT_TYPE_UINT8)
    brighten_bytes(data.ptr, data.len, amount);
  else
    brighten_floats((float *)data.ptr, data.len / sizeof(float), amount);
  image.data = dc_graph_node_types_static_buffer_from_bytes(&data);
  ret->len = 1;
  ret->ptr = calloc(1, sizeof *ret->ptr);
  ret->ptr[0].name = text("image");
  ret->ptr[0].value.tag = DC_GRAPH_NODE_TYPES_VALUE_IMAGE;
  ret->ptr[0].value.val.image = image;
  return true;
}
