// What the formats share: files that stay mapped, the tensors found in them, metadata.
//
// A format derives from it and fills it in its constructor; then it only answers.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/mapped_file.h"
#include "core/formats/weight_file.h"

namespace core {

class MappedWeights : public WeightFile {
  public:
    const std::string& path() const override { return path_; }
    uint64_t file_bytes() const override { return bytes_; }
    std::span<const TensorInfo> tensors() const override { return tensors_; }
    std::span<const std::pair<std::string, MetaValue>> metadata() const override {
        return metadata_;
    }
    bool damaged() const override;
    void release(std::span<const std::byte> bytes) const override;
    void prefetch(std::span<const std::byte> bytes) const override;
    const TensorInfo* find_tensor(std::string_view name) const override;
    const MetaValue* find_meta(std::string_view key) const override;

  protected:
    explicit MappedWeights(std::string path, Metadata metadata = {});

    // REQUIRES: find_tensor() knows none of that name.
    void add_tensor(TensorInfo tensor);
    void add_metadata(std::string key, MetaValue value);
    void keep(std::unique_ptr<MappedFile> file);
    // Of bytes that somebody else keeps.
    void count_bytes(uint64_t bytes) { bytes_ += bytes; }
    size_t index_of(const TensorInfo& tensor) const {
        return static_cast<size_t>(&tensor - tensors_.data());
    }

  private:
    struct NameHash {
        using is_transparent = void;
        size_t operator()(std::string_view name) const {
            return std::hash<std::string_view>()(name);
        }
    };

    const MappedFile* file_of(std::span<const std::byte> bytes) const;

    std::string path_;
    Metadata metadata_;
    std::vector<std::unique_ptr<MappedFile>> files_;
    std::vector<TensorInfo> tensors_;
    using Index = std::unordered_map<std::string, size_t, NameHash, std::equal_to<>>;
    Index by_name_;  // of tensors_
    Index by_key_;   // of metadata_; the configuration asks for many keys of every layer
    uint64_t bytes_ = 0;
};

}  // namespace core
