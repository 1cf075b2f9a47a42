// Aligning columns.
#include "tools/penstock/table.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace penstock {

Table::Table(std::vector<std::string> headings) {
  for (std::string& heading : headings) {
    const bool to_the_right = heading.starts_with('>');
    to_the_right_.push_back(to_the_right);
    if (to_the_right) heading.erase(0, 1);
  }
  rows_.push_back(std::move(headings));
}

void Table::Add(std::vector<std::string> cells) {
  cells.resize(to_the_right_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::Format() const {
  std::vector<size_t> widths(to_the_right_.size(), 0);
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      if (i > 0) line += "  ";
      line += to_the_right_[i] ? fmt::format("{:>{}}", row[i], widths[i])
                               : fmt::format("{:<{}}", row[i], widths[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace penstock
