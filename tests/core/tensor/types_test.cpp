// The table of tensor types in docs/formats.md is what the program does: every type that occurs in
// GGUF files of the supported families has a reference, a packed form and the sizes it says.
#include <algorithm>
#include <cctype>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/tensor/dtype.h"
#include "core/tensor/matrix.h"
#include "core/tensor/panel_layout.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

// Of the issue that asked for them.
constexpr const char* kNeeded[] = {"f32",  "f16",    "bf16",   "q8_0", "q4_0", "q4_1",
                                   "q5_0", "q5_1",   "q2_k",   "q3_k", "q4_k", "q5_k",
                                   "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};

struct Row {
    std::string name;
    double number = 0, block = 0, bytes = 0, bits = 0, packed = 0;
    bool written = false;
};

std::vector<std::string> cells(const std::string& line) {
    std::vector<std::string> result;
    std::istringstream in(line);
    std::string cell;
    std::getline(in, cell, '|');  // in front of the first
    while (std::getline(in, cell, '|')) {
        const size_t begin = cell.find_first_not_of(' ');
        if (begin == std::string::npos) continue;
        result.push_back(cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
    }
    return result;
}

std::vector<Row> documented() {
    std::ifstream in(std::string(MOXIE_SOURCE_DIR) + "/docs/formats.md");
    std::string line;
    while (std::getline(in, line) && line != "## Tensor types") {
    }
    std::vector<Row> rows;
    while (std::getline(in, line) && !(line.empty() && !rows.empty())) {
        const std::vector<std::string> row = cells(line);
        if (row.size() != 8 || row[0] == "type" || row[0] == "---") continue;
        std::string name = row[0];
        std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
        rows.push_back({name, std::stod(row[1]), std::stod(row[2]), std::stod(row[3]),
                        std::stod(row[4]), std::stod(row[5]), row[7] == "yes"});
    }
    return rows;
}

TEST(TensorTypes, TheTableOfTheDocumentationIsWhatTheProgramDoes) {
    const std::vector<Row> rows = documented();
    ASSERT_EQ(rows.size(), std::size(kNeeded));
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        const std::optional<DType> type = dtype_from_name(row.name);
        ASSERT_TRUE(type.has_value());
        const DTypeTraits& known = traits(*type);
        EXPECT_EQ(static_cast<double>(*type), row.number);
        EXPECT_EQ(known.block, row.block);
        EXPECT_EQ(known.bytes, row.bytes);
        EXPECT_EQ(8.0 * known.bytes / known.block, row.bits);
        constexpr uint32_t kCols = 2048;
        EXPECT_EQ(
            8.0 * static_cast<double>(packed_panel_bytes(*type, kCols, 0)) / (kPanelRows * kCols),
            row.packed);
        EXPECT_TRUE(known.computable);
        EXPECT_TRUE(can_dequantize(*type)) << "the reference";
        EXPECT_EQ(can_quantize(*type), row.written);
    }
}

TEST(TensorTypes, EveryTypeInTheWildIsInTheTable) {
    const std::vector<Row> rows = documented();
    for (const char* name : kNeeded)
        EXPECT_NE(std::ranges::find(rows, name, &Row::name), rows.end()) << name;
    for (const DTypeTraits& type : all_types()) {
        const bool listed = std::ranges::find(rows, type.name, &Row::name) != rows.end();
        EXPECT_EQ(type.computable, listed || type.type == DType::i8c) << type.name;
    }
}

}  // namespace
}  // namespace core
