// JsonText: what a command prints for machines, whatever bytes a name or a path has.
#ifndef PENSTOCK_TOOLS_PENSTOCK_JSON_TEXT_H_
#define PENSTOCK_TOOLS_PENSTOCK_JSON_TEXT_H_

#include <string>

#include <nlohmann/json.hpp>

namespace penstock {

// Bytes that are no UTF-8 become U+FFFD. `indent`: -1, all in one line.
inline std::string JsonText(const nlohmann::ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_JSON_TEXT_H_
