// Table: rows of text in aligned columns.
#ifndef PENSTOCK_TOOLS_PENSTOCK_TABLE_H_
#define PENSTOCK_TOOLS_PENSTOCK_TABLE_H_

#include <string>
#include <vector>

namespace penstock {

class Table {
 public:
  // A heading that starts with '>' is of a column aligned to the right.
  explicit Table(std::vector<std::string> headings);

  // As many cells as there are headings.
  void Add(std::vector<std::string> cells);
  // Two blanks between columns, a newline after each row, the headings too.
  std::string Format() const;

 private:
  std::vector<bool> to_the_right_;
  std::vector<std::vector<std::string>> rows_;  // the first has the headings
};

}  // namespace penstock

#endif  // PENSTOCK_TOOLS_PENSTOCK_TABLE_H_
