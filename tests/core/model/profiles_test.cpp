// The profiles in configs/ say how much memory a model needs: held against what the loader would
// take for the true shapes, in every type that a profile names.
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/formats/weight_file.h"
#include "core/kv/page_pool.h"
#include "core/model/convert.h"
#include "core/model/weights.h"

namespace core {
namespace {

// specs: grok1, grok2 and qwen, section 4.
struct Shape {
    const char* profile;
    uint64_t layers, dim, heads, kv_heads, dense, experts, width, vocab;
    bool tied;
    DType released;  // matrices
};

constexpr uint64_t kHeadDim = 128;
constexpr Shape kShapes[] = {
    {"grok-1", 64, 6144, 48, 8, 0, 8, 32768, 131072, true, DType::i8c},
    {"grok-2", 64, 8192, 64, 8, 32768, 8, 16384, 131072, false, DType::bf16},
    {"qwen3-30b-a3b", 48, 2048, 32, 4, 0, 128, 768, 151936, false, DType::bf16},
    {"qwen3-235b-a22b", 94, 4096, 64, 4, 0, 128, 1536, 151936, false, DType::bf16},
    {"mixtral-8x7b", 32, 4096, 32, 8, 0, 8, 14336, 32000, false, DType::bf16},
};

// Names and shapes, and no data.
class ShapesOnly final : public WeightFile {
  public:
    explicit ShapesOnly(const Shape& s) {
        // Grok-1 has its embedding in floats.
        add("token_embd", {s.dim, s.vocab}, s.tied ? DType::f32 : s.released);
        if (!s.tied) add("output", {s.dim, s.vocab}, s.released);
        for (uint64_t layer = 0; layer < s.layers; ++layer) {
            const std::string prefix = "blk." + std::to_string(layer) + ".";
            add(prefix + "attn_q", {s.dim, s.heads * kHeadDim}, s.released);
            add(prefix + "attn_k", {s.dim, s.kv_heads * kHeadDim}, s.released);
            add(prefix + "attn_v", {s.dim, s.kv_heads * kHeadDim}, s.released);
            add(prefix + "attn_output", {s.heads * kHeadDim, s.dim}, s.released);
            add(prefix + "ffn_gate_inp", {s.dim, s.experts}, DType::f32);
            if (s.dense != 0) add_ffn(prefix, "", s.dim, s.dense, {}, s.released);
            add_ffn(prefix, "_exps", s.dim, s.width, {s.experts}, s.released);
        }
    }

    std::string_view format() const override { return "shapes"; }
    const std::string& path() const override { return path_; }
    uint64_t file_bytes() const override { return 0; }
    std::span<const TensorInfo> tensors() const override { return tensors_; }
    std::span<const std::pair<std::string, MetaValue>> metadata() const override { return {}; }
    bool damaged() const override { return false; }
    void release(std::span<const std::byte>) const override {}
    void prefetch(std::span<const std::byte>) const override {}

    uint64_t parameters() const {
        uint64_t sum = 0;
        for (const TensorInfo& tensor : tensors_)
            sum += tensor.elements();
        return sum;
    }

  private:
    void add(std::string name, std::vector<uint64_t> shape, DType type) {
        TensorInfo tensor;
        tensor.name = std::move(name) + ".weight";
        tensor.shape = std::move(shape);
        tensor.type = type;
        // Grok-1's matrices that were cut along their inputs have scales for each of 8 parts.
        const bool cut = tensor.name.ends_with("attn_output.weight") ||
                         tensor.name.ends_with("ffn_down_exps.weight");
        if (type == DType::i8c) tensor.scale_groups = cut ? 8 : 1;
        tensors_.push_back(std::move(tensor));
    }
    void add_ffn(const std::string& prefix, const std::string& suffix, uint64_t dim, uint64_t width,
                 const std::vector<uint64_t>& experts, DType type) {
        for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
            const bool down = name == std::string("ffn_down");
            std::vector<uint64_t> shape = {down ? width : dim, down ? dim : width};
            shape.insert(shape.end(), experts.begin(), experts.end());
            std::string full = prefix;
            add(full.append(name).append(suffix), shape, type);
        }
    }

    std::string path_ = "shapes";
    std::vector<TensorInfo> tensors_;
};

// Bytes of all weights in memory once they are in this type.
uint64_t needed(const ShapesOnly& file, std::optional<DType> type) {
    const ConvertPlan plan = plan_conversion(file, {.type = type});
    uint64_t bytes = 0;
    for (const ConvertedTensor& planned : plan.tensors) {
        TensorInfo tensor = *planned.source;
        tensor.type = planned.type;
        tensor.scale_groups = planned.scale_groups;
        bytes += packed_bytes(tensor);
    }
    return bytes;
}

std::string profile_text(const char* name) {
    std::ifstream in(std::string(MOXIE_SOURCE_DIR) + "/configs/" + name + ".toml");
    return {std::istreambuf_iterator<char>(in), {}};
}

std::string formatted(const char* format, double value) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

TEST(Profiles, TheMemoryForTheWeightsIsWhatTheLoaderTakes) {
    const std::regex line(
        R"(#   (\w+)( as released[^0-9]*(?:I8C\))?)? +(\d+) GB  \(([\d.]+) bits a weight\))");
    for (const Shape& shape : kShapes) {
        const ShapesOnly file(shape);
        const std::string text = profile_text(shape.profile);
        size_t lines = 0;
        for (std::sregex_iterator it(text.begin(), text.end(), line), end; it != end; ++it) {
            SCOPED_TRACE(shape.profile + (" " + (*it)[1].str()));
            const bool released = (*it)[2].matched;
            const uint64_t bytes =
                needed(file, released ? std::nullopt : dtype_from_name((*it)[1].str()));
            EXPECT_EQ((*it)[3], formatted("%.0f", static_cast<double>(bytes) / 1e9));
            EXPECT_EQ((*it)[4], formatted("%.2f", 8.0 * static_cast<double>(bytes) /
                                                      static_cast<double>(file.parameters())));
            ++lines;
        }
        EXPECT_GE(lines, 2u) << shape.profile;
    }
}

TEST(Profiles, TheMemoryForTheContextIsThatOfItsPages) {
    const std::regex line(
        R"(kv_type f16: (\d+) kB a token, ([\d.]+) GB for ([\d,]+); q8 takes 9/16)");
    for (const Shape& shape : kShapes) {
        SCOPED_TRACE(shape.profile);
        const std::vector<KvLayerShape> layers(
            shape.layers, {static_cast<uint32_t>(shape.kv_heads), static_cast<uint32_t>(kHeadDim)});
        const double page = static_cast<double>(PageLayout(layers, KvType::f16).page_bytes());
        const double q8 = static_cast<double>(PageLayout(layers, KvType::q8).page_bytes());
        EXPECT_EQ(q8 / page, 9.0 / 16);
        const std::string text = profile_text(shape.profile);
        std::smatch match;
        ASSERT_TRUE(std::regex_search(text, match, line));
        EXPECT_EQ(match[1], formatted("%.0f", page / kPagePositions / 1e3));
        std::string context = match[3];
        std::erase(context, ',');
        EXPECT_EQ(match[2], formatted("%.1f", page / kPagePositions * std::stod(context) / 1e9));
        EXPECT_NE(text.find("ctx = " + context + "\n"), std::string::npos);
    }
}

}  // namespace
}  // namespace core
