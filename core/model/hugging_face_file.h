// The tensors of a Hugging Face checkpoint under GGUF's names, put together when they are read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/formats/weight_file.h"
#include "core/model/hugging_face.h"

namespace core {

class HuggingFaceFile : public WeightFile {
  public:
    // Finds the tensors of every layer and expert. Throws Error(model_unusable) when parts of one
    // do not fit together; what is missing altogether is left to the loader to name.
    HuggingFaceFile(std::unique_ptr<WeightFile> source, GgufMetadata gguf,
                    const HuggingFaceNames& names, uint32_t head_dim);

    // A tensor that the checkpoint does not have.
    void add_floats(std::string name, std::vector<float> values);

    std::string_view format() const override { return source_->format(); }
    const std::string& path() const override { return source_->path(); }
    uint64_t file_bytes() const override { return source_->file_bytes(); }
    std::span<const TensorInfo> tensors() const override { return tensors_; }
    std::span<const std::pair<std::string, MetaValue>> metadata() const override {
        return gguf_.metadata;
    }
    bool damaged() const override { return source_->damaged(); }
    void release(std::span<const std::byte> bytes) const override { source_->release(bytes); }
    void prefetch(std::span<const std::byte> bytes) const override { source_->prefetch(bytes); }
    const TensorInfo* find_tensor(std::string_view name) const override;
    void read_rows(const TensorInfo& tensor, uint64_t first, std::span<std::byte> values,
                   std::span<std::byte> scales) const override;
    void release_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const override;
    void prefetch_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const override;

  private:
    // One tensor of the checkpoint. Element (r, c) is multiplied by the scale at
    // (r / block_rows, c / block_cols).
    struct Piece {
        const TensorInfo* values = nullptr;
        const TensorInfo* scales = nullptr;
        uint64_t block_rows = 1;
        uint64_t block_cols = 1;
        uint64_t scale_cols = 1;

        uint64_t cols() const { return values->dim(0); }
        uint64_t rows() const { return values->rows(); }
        float scale(uint64_t row, uint64_t col) const;
    };
    // How the rows of a tensor are made: pieces of expert e are [e * shards, (e + 1) * shards).
    struct Recipe {
        std::vector<Piece> pieces;
        uint32_t shards = 1;
        ShardAxis axis = ShardAxis::out;
        uint32_t head_dim = 0;  // rows of each head are interleaved; 0 = they lie as they are
        uint64_t rows = 0;      // of one expert
    };

    void add_tensor(const HuggingFaceTensor& tensor, uint32_t layer, uint64_t experts);
    void add_bias(const std::string& gguf, const TensorInfo& bias);
    // Appends one tensor or its shards; false when there is none.
    bool add_pieces(const std::string& name, Recipe& recipe) const;
    void add_scales(const std::string& name, std::string_view suffix, Piece& piece) const;
    void check_pieces(const std::string& name, const Recipe& recipe, uint64_t experts) const;
    void add_recipe(std::string name, Recipe recipe, bool stacked);
    void copy_row(const Piece& piece, uint64_t row, std::byte* out) const;
    template <class Visit>
    void for_each_part(const Recipe& recipe, uint64_t first, uint64_t count, Visit visit) const;
    [[noreturn]] void fail(const std::string& tensor, const std::string& problem,
                           const std::string& advice) const;

    std::unique_ptr<WeightFile> source_;
    GgufMetadata gguf_;
    const HuggingFaceNames& names_;
    uint32_t head_dim_;
    std::vector<TensorInfo> tensors_;
    std::vector<Recipe> recipes_;  // of each tensor; without pieces where it lies in place
    std::unordered_map<std::string, size_t> by_name_;
    std::vector<std::vector<float>> floats_;      // of add_floats()
    std::unordered_set<const TensorInfo*> used_;  // of the source
};

}  // namespace core
