#include "core/model/hugging_face_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/half.h"
#include "core/base/utf8.h"
#include "core/formats/safetensors.h"
#include "core/model/forward_layers.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

constexpr HuggingFaceTensor kCommonTensors[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.layers.{l}.input_layernorm.weight", "blk.{l}.attn_norm.weight"},
    {"model.layers.{l}.post_attention_layernorm.weight", "blk.{l}.ffn_norm.weight"},
    {"model.layers.{l}.self_attn.q_proj.weight", "blk.{l}.attn_q.weight"},
    {"model.layers.{l}.self_attn.k_proj.weight", "blk.{l}.attn_k.weight"},
    {"model.layers.{l}.self_attn.v_proj.weight", "blk.{l}.attn_v.weight"},
    {"model.layers.{l}.self_attn.o_proj.weight", "blk.{l}.attn_output.weight", ShardAxis::in},
    {"model.layers.{l}.self_attn.q_proj.bias", "blk.{l}.attn_q.bias"},
    {"model.layers.{l}.self_attn.k_proj.bias", "blk.{l}.attn_k.bias"},
    {"model.layers.{l}.self_attn.v_proj.bias", "blk.{l}.attn_v.bias"},
    {"model.layers.{l}.self_attn.o_proj.bias", "blk.{l}.attn_output.bias"},
    {"model.layers.{l}.self_attn.q_norm.weight", "blk.{l}.attn_q_norm.weight"},
    {"model.layers.{l}.self_attn.k_norm.weight", "blk.{l}.attn_k_norm.weight"},
    {"model.layers.{l}.mlp.gate_proj.weight", "blk.{l}.ffn_gate.weight"},
    {"model.layers.{l}.mlp.up_proj.weight", "blk.{l}.ffn_up.weight"},
    {"model.layers.{l}.mlp.down_proj.weight", "blk.{l}.ffn_down.weight", ShardAxis::in},
};

// Far above any model there is.
constexpr uint64_t kMaxLayers = 4096;
constexpr uint64_t kMaxExperts = 1024;
constexpr uint32_t kMaxShards = 1000;  // ranks have three digits

std::string with_number(std::string_view pattern, std::string_view mark, uint64_t number) {
    std::string text(pattern);
    if (const size_t at = text.find(mark); at != std::string::npos)
        text.replace(at, mark.size(), std::to_string(number));
    return text;
}

bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

const std::array<float, 256>& e4m3_values() {
    static const std::array<float, 256> values = [] {
        std::array<float, 256> table{};
        for (uint32_t byte = 0; byte < table.size(); ++byte)
            table[byte] = e4m3_to_f32(static_cast<uint8_t>(byte));
        return table;
    }();
    return values;
}

// Row 2i + half of a head is row (half, i) of the checkpoint.
uint64_t plain_row(uint64_t row, uint64_t head_dim) {
    const uint64_t within = row % head_dim;
    return row - within + within % 2 * (head_dim / 2) + within / 2;
}

bool is_float(DType type) {
    return type == DType::f32 || type == DType::f16 || type == DType::bf16;
}

void put_bf16(float value, std::byte* out) {
    const uint16_t bits = f32_to_bf16(value);
    std::memcpy(out, &bits, sizeof bits);
}

}  // namespace

HuggingFaceFile::HuggingFaceFile(std::unique_ptr<WeightFile> source, GgufMetadata gguf,
                                 const HuggingFaceNames& names, uint32_t head_dim)
    : source_(std::move(source)), gguf_(std::move(gguf)), names_(names), head_dim_(head_dim) {
    const uint64_t layers = std::min(gguf_.number("block_count"), kMaxLayers);
    const uint64_t experts = std::min(gguf_.number("expert_count"), kMaxExperts);
    // Present but equal to the embedding it may still be.
    const bool tied = source_->meta_bool("tie_word_embeddings").value_or(false);
    for (const auto& tensors :
         {std::span<const HuggingFaceTensor>(kCommonTensors), names.tensors}) {
        for (const HuggingFaceTensor& tensor : tensors) {
            if (tied && tensor.gguf == "output.weight") continue;
            const uint64_t count = contains(tensor.gguf, "{l}") ? layers : 1;
            for_each_layer(count, [&](uint32_t layer) { add_tensor(tensor, layer, experts); });
        }
    }
    // A bias that nobody adds would change every logit.
    for (const TensorInfo& tensor : source_->tensors())
        if (contains(tensor.name, ".bias") && !used_.contains(&tensor))
            fail(tensor.name, "has no place in this architecture",
                 "this engine cannot run the model");
}

void HuggingFaceFile::fail(const std::string& tensor, const std::string& problem,
                           const std::string& advice) const {
    throw Error(ErrorKind::model_unusable, path(), "tensor " + sanitize(tensor) + " " + problem,
                advice);
}

void HuggingFaceFile::add_tensor(const HuggingFaceTensor& tensor, uint32_t layer,
                                 uint64_t experts) {
    const std::string pattern = with_number(tensor.name, "{l}", layer);
    const bool stacked = contains(pattern, "{e}");
    Recipe recipe;
    recipe.axis = tensor.shards;
    for (uint64_t e = 0; e < (stacked ? experts : 1); ++e) {
        const std::string name = with_number(pattern, "{e}", e);
        if (add_pieces(name, recipe)) continue;
        if (e == 0) return;
        fail(name, "is missing", "the download is incomplete");
    }
    if (recipe.pieces.empty()) return;
    for (const Piece& piece : recipe.pieces)
        used_.insert(piece.values);
    const std::string gguf = with_number(tensor.gguf, "{l}", layer);
    check_pieces(pattern, recipe, stacked ? experts : 1);
    const bool rotated = contains(gguf, "attn_q.") || contains(gguf, "attn_k.");
    if (names_.interleaved_heads && rotated && head_dim_ != 0) {
        recipe.head_dim = head_dim_;
        const TensorInfo& first = *recipe.pieces.front().values;
        if (first.shape.size() == 1 && recipe.pieces.size() == 1) return add_bias(gguf, first);
        if (first.shape.size() != 2 || first.dim(1) % head_dim_ != 0 || head_dim_ % 2 != 0) {
            fail(pattern, "has " + std::to_string(first.dim(1)) + " rows",
                 "expected a matrix of whole heads of " + std::to_string(head_dim_));
        }
    }
    add_recipe(gguf, std::move(recipe), stacked);
}

// Of rotated heads: a bias goes where the row of its matrix goes.
void HuggingFaceFile::add_bias(const std::string& gguf, const TensorInfo& bias) {
    const bool fits = is_float(bias.type) && bias.dim(0) % head_dim_ == 0 && head_dim_ % 2 == 0;
    if (!fits) {
        fail(bias.name, "has " + std::to_string(bias.dim(0)) + " elements",
             "expected floats for whole heads of " + std::to_string(head_dim_));
    }
    std::vector<float> plain(bias.dim(0));
    dequantize_row(bias.type, bias.data, plain);
    std::vector<float> values(plain.size());
    for (size_t row = 0; row < values.size(); ++row)
        values[row] = plain[plain_row(row, head_dim_)];
    add_floats(gguf, std::move(values));
}

bool HuggingFaceFile::add_pieces(const std::string& name, Recipe& recipe) const {
    const auto add = [&](const std::string& suffix) {
        Piece piece{.values = source_->find_tensor(name + suffix)};
        if (piece.values == nullptr) return false;
        add_scales(name, suffix, piece);
        recipe.pieces.push_back(piece);
        return true;
    };
    if (add("")) return true;
    uint32_t rank = 0;
    while (rank < kMaxShards && add(std::string(safetensors::kRankMark) + std::to_string(rank)))
        ++rank;
    if (rank != 0) recipe.shards = rank;
    return rank != 0;
}

// NAME_scale: one for all or one for each row; NAME_scale_inv: one for each block, and in spite of
// its name a factor too.
void HuggingFaceFile::add_scales(const std::string& name, std::string_view suffix,
                                 Piece& piece) const {
    if (piece.values->type != DType::f8_e4m3 && piece.values->type != DType::i8) return;
    for (const char* kind : {"_scale", "_scale_inv"}) {
        if (piece.scales != nullptr) break;
        piece.scales = source_->find_tensor(name + kind + std::string(suffix));
    }
    if (piece.scales == nullptr)
        fail(name, "has no scales", "NAME_scale or NAME_scale_inv is needed");
    const auto& shape = piece.scales->shape;
    const uint64_t rows = piece.rows();
    const uint64_t cols = piece.cols();
    // A vector has one scale for each row.
    const uint64_t down = shape.size() == 1 ? shape[0] : piece.scales->dim(1);
    const uint64_t across = shape.size() == 1 ? 1 : shape[0];
    piece.scale_cols = across;
    piece.block_cols = cols;
    if (!is_float(piece.scales->type)) {
        fail(piece.scales->name, "has type " + std::string(traits(piece.scales->type).name),
             "expected floats");
    }
    if (across == 1 && (down == 1 || down == rows)) {
        piece.block_rows = down == 1 ? rows : 1;
        return;
    }
    const auto block = source_->meta_ints("quantization_config.weight_block_size")
                           .value_or(std::vector<int64_t>{128, 128});
    const auto covers = [](uint64_t size, int64_t part, uint64_t count) {
        return part > 0 &&
               count == (size + static_cast<uint64_t>(part) - 1) / static_cast<uint64_t>(part);
    };
    if (shape.size() > 2 || block.size() != 2 || !covers(rows, block[0], down) ||
        !covers(cols, block[1], across) || piece.values->type == DType::i8) {
        fail(piece.scales->name,
             "has " + std::to_string(down) + " x " + std::to_string(across) + " scales for " +
                 std::to_string(rows) + " x " + std::to_string(cols) + " weights",
             "expected one, one for each row or one for each block of weight_block_size");
    }
    piece.block_rows = static_cast<uint64_t>(block[0]);
    piece.block_cols = static_cast<uint64_t>(block[1]);
}

void HuggingFaceFile::check_pieces(const std::string& name, const Recipe& recipe,
                                   uint64_t experts) const {
    const Piece& first = recipe.pieces.front();
    for (const Piece& piece : recipe.pieces) {
        const bool same =
            piece.values->type == first.values->type && piece.values->shape == first.values->shape;
        if (!same)
            fail(piece.values->name, "differs in shape or type from " + first.values->name,
                 "the folder holds files of two checkpoints");
    }
    if (recipe.pieces.size() != experts * recipe.shards)
        fail(name, "has shards for some experts only", "the download is incomplete");
    if (recipe.pieces.size() > 1 && first.values->shape.size() > 2)
        fail(name, "has " + std::to_string(first.values->shape.size()) + " dimensions and parts",
             "expected matrices");
}

void HuggingFaceFile::add_recipe(std::string name, Recipe recipe, bool stacked) {
    const Piece& first = recipe.pieces.front();
    TensorInfo info;
    info.name = std::move(name);
    info.type = first.values->type;
    info.shape = first.values->shape;
    // A vector that is stored as a matrix of one row.
    while (info.shape.size() > 1 && info.shape.back() == 1 && !stacked)
        info.shape.pop_back();
    if (first.scales != nullptr && info.type == DType::f8_e4m3) info.type = DType::bf16;
    if (first.scales != nullptr && info.type == DType::i8) {
        info.type = DType::i8c;
        info.scale_groups = recipe.axis == ShardAxis::in ? recipe.shards : 1;
    }
    recipe.rows = first.rows();
    if (recipe.shards > 1 && recipe.axis == ShardAxis::in) info.shape[0] *= recipe.shards;
    if (recipe.shards > 1 && recipe.axis == ShardAxis::out) {
        info.shape.resize(std::max<size_t>(info.shape.size(), 2), 1);
        info.shape[1] *= recipe.shards;
        recipe.rows *= recipe.shards;
    }
    if (stacked) {
        info.shape.resize(2, 1);
        info.shape.push_back(recipe.pieces.size() / recipe.shards);
    }
    const bool in_place =
        recipe.pieces.size() == 1 && first.scales == nullptr && recipe.head_dim == 0;
    if (in_place) {
        info.data = first.values->data;
        recipe.pieces.clear();
    }
    by_name_.emplace(info.name, tensors_.size());
    tensors_.push_back(std::move(info));
    recipes_.push_back(std::move(recipe));
}

void HuggingFaceFile::add_floats(std::string name, std::vector<float> values) {
    floats_.push_back(std::move(values));
    TensorInfo info;
    info.name = std::move(name);
    info.shape = {floats_.back().size()};
    info.data = std::as_bytes(std::span(floats_.back()));
    by_name_.emplace(info.name, tensors_.size());
    tensors_.push_back(std::move(info));
    recipes_.emplace_back();
}

const TensorInfo* HuggingFaceFile::find_tensor(std::string_view name) const {
    const auto found = by_name_.find(std::string(name));
    return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

float HuggingFaceFile::Piece::scale(uint64_t row, uint64_t col) const {
    const uint64_t index = row / block_rows * scale_cols + col / block_cols;
    const std::byte* at = scales->data.data() + index * traits(scales->type).bytes;
    if (scales->type == DType::f32) {
        float value = 0.0F;
        std::memcpy(&value, at, sizeof value);
        return value;
    }
    uint16_t bits = 0;
    std::memcpy(&bits, at, sizeof bits);
    return scales->type == DType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void HuggingFaceFile::copy_row(const Piece& piece, uint64_t row, std::byte* out) const {
    const size_t bytes = piece.values->value_bytes() / piece.rows();
    const std::byte* in = piece.values->data.data() + row * bytes;
    if (piece.values->type != DType::f8_e4m3) {
        std::memcpy(out, in, bytes);
        return;
    }
    const std::array<float, 256>& values = e4m3_values();
    for (uint64_t begin = 0; begin < piece.cols(); begin += piece.block_cols) {
        const float scale = piece.scale(row, begin);
        const uint64_t end = std::min(begin + piece.block_cols, piece.cols());
        for (uint64_t c = begin; c < end; ++c)
            put_bf16(values[static_cast<uint8_t>(in[c])] * scale, out + 2 * c);
    }
}

void HuggingFaceFile::read_rows(const TensorInfo& tensor, uint64_t first,
                                std::span<std::byte> values, std::span<std::byte> scales) const {
    const Recipe& recipe = recipes_[static_cast<size_t>(&tensor - tensors_.data())];
    if (recipe.pieces.empty()) return WeightFile::read_rows(tensor, first, values, scales);
    const size_t row_bytes = tensor.value_bytes() / tensor.rows();
    const size_t scale_bytes = tensor.scale_bytes() / tensor.rows();
    for (uint64_t i = 0; i < values.size() / row_bytes; ++i) {
        const uint64_t expert = (first + i) / recipe.rows;
        uint64_t row = (first + i) % recipe.rows;
        if (recipe.head_dim != 0) row = plain_row(row, recipe.head_dim);
        const Piece* pieces = &recipe.pieces[expert * recipe.shards];
        const bool across = recipe.axis == ShardAxis::in;
        const uint64_t shard = across ? 0 : row / pieces->rows();
        const uint64_t shard_row = across ? row : row % pieces->rows();
        const uint32_t count = across ? recipe.shards : 1;
        for (uint32_t s = 0; s < count; ++s) {
            const Piece& piece = pieces[shard + s];
            copy_row(piece, shard_row, values.data() + i * row_bytes + s * (row_bytes / count));
            if (!scales.empty())
                put_bf16(piece.scale(shard_row, 0), scales.data() + i * scale_bytes + 2 * s);
        }
    }
}

// Calls visit(bytes) for the parts of the source that these rows are made of. Interleaved rows of a
// head that the range cuts are counted as if they lay in order: nothing but speed depends on it.
template <class Visit>
void HuggingFaceFile::for_each_part(const Recipe& recipe, uint64_t first, uint64_t count,
                                    Visit visit) const {
    const bool across = recipe.axis == ShardAxis::in;
    for (uint64_t row = first; row < first + count;) {
        const Piece* pieces = &recipe.pieces[row / recipe.rows * recipe.shards];
        const uint64_t in_expert = row % recipe.rows;
        const uint64_t shard = across ? 0 : in_expert / pieces->rows();
        const uint64_t begin = in_expert - shard * pieces->rows();
        const uint64_t rows = std::min(first + count - row, pieces->rows() - begin);
        for (uint64_t s = shard; s < (across ? recipe.shards : shard + 1); ++s)
            visit(pieces[s].values->rows_in_place(begin, rows));
        row += rows;
    }
}

void HuggingFaceFile::release_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const {
    const Recipe& recipe = recipes_[static_cast<size_t>(&tensor - tensors_.data())];
    if (recipe.pieces.empty()) return WeightFile::release_rows(tensor, first, count);
    for_each_part(recipe, first, count, [this](auto bytes) { release(bytes); });
}

void HuggingFaceFile::prefetch_rows(const TensorInfo& tensor, uint64_t first,
                                    uint64_t count) const {
    const Recipe& recipe = recipes_[static_cast<size_t>(&tensor - tensors_.data())];
    if (recipe.pieces.empty()) return WeightFile::prefetch_rows(tensor, first, count);
    for_each_part(recipe, first, count, [this](auto bytes) { prefetch(bytes); });
}

}  // namespace core
