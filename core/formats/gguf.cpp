#include "core/formats/gguf.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/formats/gguf_header.h"
#include "core/tensor/dtype.h"

namespace core {
namespace {

std::string to_text(std::span<const uint64_t> shape) {
    std::string text = "[";
    for (const uint64_t size : shape)
        text += (text.size() > 1 ? ", " : "") + std::to_string(size);
    return text + "]";
}

// Makes one I8C tensor of each I8 tensor `NAME` that has a companion `NAME.scales`.
std::vector<TensorInfo> fold_i8c(std::vector<TensorInfo> tensors, const std::string& path) {
    std::unordered_map<std::string_view, TensorInfo*> by_name;
    for (TensorInfo& tensor : tensors)
        by_name.emplace(tensor.name, &tensor);
    std::unordered_set<const TensorInfo*> folded;
    for (TensorInfo& tensor : tensors) {
        if (tensor.type != DType::i8) continue;
        const auto found = by_name.find(tensor.name + std::string(gguf::kScalesSuffix));
        if (found == by_name.end()) continue;
        const TensorInfo& scales = *found->second;
        const uint64_t groups = scales.dim(0);
        const bool agree = scales.type == DType::bf16 && scales.dim(1) == tensor.dim(1) &&
                           scales.dim(2) == tensor.dim(2) && scales.dim(3) == tensor.dim(3) &&
                           tensor.dim(0) % groups == 0 &&
                           tensor.dim(0) / groups % gguf::kGroupColumns == 0;
        if (!agree) {
            throw Error(ErrorKind::model_unusable, path,
                        "tensor " + sanitize(scales.name) + " has type " +
                            std::string(traits(scales.type).name) + " and shape " +
                            to_text(scales.shape) + ", which are no scales for " +
                            to_text(tensor.shape),
                        "expected bf16 [groups, rows] with groups of a multiple of 32 columns");
        }
        tensor.type = DType::i8c;
        tensor.scales = scales.data;
        tensor.scale_groups = groups;
        folded.insert(&scales);
    }
    std::vector<TensorInfo> kept;
    kept.reserve(tensors.size() - folded.size());
    for (TensorInfo& tensor : tensors)
        if (!folded.contains(&tensor)) kept.push_back(std::move(tensor));
    return kept;
}

// ---- Split models: NAME-00001-of-00017.gguf and its companions, each a whole GGUF file with its
// own header. The first has the metadata of the model.

constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitNumber = "split.no";  // from 0
constexpr std::string_view kSplitTensors = "split.tensors.count";
constexpr uint64_t kMaxParts = 512;  // mappings are limited; the largest known have about 30

std::optional<uint64_t> number_of(const Metadata& metadata, std::string_view key) {
    const auto found = std::ranges::find(metadata, key, &Metadata::value_type::first);
    if (found == metadata.end()) return std::nullopt;
    if (const auto* value = std::get_if<uint64_t>(&found->second.value)) return *value;
    const auto* value = std::get_if<int64_t>(&found->second.value);
    return value != nullptr && *value >= 0 ? std::optional<uint64_t>(*value) : std::nullopt;
}

uint64_t count_parts(const GgufHeader& header) {
    return number_of(header.metadata, kSplitCount).value_or(1);
}

std::string part_suffix(uint64_t number, uint64_t count) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "-%05llu-of-%05llu.gguf",
                  static_cast<unsigned long long>(number), static_cast<unsigned long long>(count));
    return text.data();
}

struct Part {
    std::unique_ptr<MappedFile> file;
    GgufHeader header;
};

// The other parts are found by name, whichever of them `opened` is.
std::vector<Part> open_parts(Part opened) {
    const std::string path = opened.file->path();
    const uint64_t count = count_parts(opened.header);
    const uint64_t number = number_of(opened.header.metadata, kSplitNumber).value_or(0) + 1;
    const std::string suffix = part_suffix(number, count);
    if (count > kMaxParts || !path.ends_with(suffix)) {
        throw Error(ErrorKind::model_unusable, path,
                    "is part " + std::to_string(number) + " of " + std::to_string(count) +
                        " of a split model, but its name does not end in " + suffix,
                    "give the parts the names they came with");
    }
    const std::string stem = path.substr(0, path.size() - suffix.size());
    std::vector<Part> parts;
    for (uint64_t i = 1; i <= count; ++i) {
        if (i == number) {
            parts.emplace_back();  // `opened`, once the loop is done with it
            continue;
        }
        const std::string name = stem + part_suffix(i, count);
        if (!std::filesystem::exists(name)) {
            throw Error(ErrorKind::model_unusable, "",
                        "shard " + std::to_string(i) + " of " + std::to_string(count) +
                            " is missing: " + name);
        }
        auto file = std::make_unique<MappedFile>(name);
        GgufHeader header = read_gguf_header(file->bytes(), name);
        const auto own = number_of(header.metadata, kSplitNumber);
        if (own != i - 1 || count_parts(header) != count) {
            throw Error(ErrorKind::model_unusable, name, "is not the part that its name says",
                        "the folder holds files of two models");
        }
        parts.push_back({std::move(file), std::move(header)});
    }
    if (number <= count) parts[number - 1] = std::move(opened);
    return parts;
}

class GgufFile final : public WeightFile {
  public:
    // One or all parts of a model, which is known by the path of the first.
    GgufFile(std::vector<Part> parts, std::string path) : path_(std::move(path)) {
        format_ = "GGUF v" + std::to_string(parts.front().header.version);
        metadata_ = std::move(parts.front().header.metadata);
        const auto declared = number_of(metadata_, kSplitTensors);
        if (parts.size() > 1) {
            // What is left is what the model in one file would have.
            std::erase_if(metadata_,
                          [](const auto& entry) { return entry.first.starts_with("split."); });
            format_ += " in " + std::to_string(parts.size()) + " parts";
        }
        for (Part& part : parts)
            add(part);
        if (parts.size() > 1 && declared.value_or(tensors_.size()) != tensors_.size()) {
            fail("has " + std::to_string(tensors_.size()) + " tensors in its parts, " +
                     std::to_string(*declared) + " are announced",
                 "the folder holds files of two models");
        }
        tensors_ = fold_i8c(std::move(tensors_), path_);
        for (const TensorInfo& tensor : tensors_) {
            if (!by_name_.emplace(tensor.name, &tensor).second)
                fail("tensor " + sanitize(tensor.name) + " occurs in two parts",
                     "the folder holds files of two models");
        }
    }

    std::string_view format() const override { return format_; }
    const std::string& path() const override { return path_; }
    uint64_t file_bytes() const override { return bytes_; }
    std::span<const TensorInfo> tensors() const override { return tensors_; }
    std::span<const std::pair<std::string, MetaValue>> metadata() const override {
        return metadata_;
    }
    bool damaged() const override {
        return std::ranges::any_of(files_, [](const auto& file) { return file->damaged(); });
    }
    void release(std::span<const std::byte> bytes) const override {
        // Addresses of different mappings have an order through std::less only.
        const std::less_equal<const std::byte*> not_after;
        for (const auto& file : files_) {
            const auto whole = file->bytes();
            if (not_after(whole.data(), bytes.data()) &&
                not_after(bytes.data() + bytes.size(), whole.data() + whole.size()))
                return file->release(bytes);
        }
    }
    const TensorInfo* find_tensor(std::string_view name) const override {
        const auto found = by_name_.find(name);
        return found == by_name_.end() ? nullptr : found->second;
    }

    void set_bytes(uint64_t bytes) { bytes_ = bytes; }

  private:
    [[noreturn]] void fail(std::string problem, std::string advice) const {
        throw Error(ErrorKind::model_unusable, path_, std::move(problem), std::move(advice));
    }

    void add(Part& part) {
        tensors_.insert(tensors_.end(), std::make_move_iterator(part.header.tensors.begin()),
                        std::make_move_iterator(part.header.tensors.end()));
        if (part.file == nullptr) return;
        bytes_ += part.file->bytes().size();
        files_.push_back(std::move(part.file));
    }

    std::vector<std::unique_ptr<MappedFile>> files_;  // none when the bytes are somebody else's
    std::string path_;
    std::string format_;
    uint64_t bytes_ = 0;
    Metadata metadata_;
    std::vector<TensorInfo> tensors_;
    std::unordered_map<std::string_view, const TensorInfo*> by_name_;  // views into tensors_
};

}  // namespace

std::unique_ptr<WeightFile> open_gguf(std::unique_ptr<MappedFile> file) {
    Part part{.file = std::move(file), .header = {}};
    part.header = read_gguf_header(part.file->bytes(), part.file->path());
    std::vector<Part> parts;
    if (count_parts(part.header) > 1) {
        parts = open_parts(std::move(part));
    } else {
        parts.push_back(std::move(part));
    }
    std::string path = parts.front().file->path();
    return std::make_unique<GgufFile>(std::move(parts), std::move(path));
}

std::unique_ptr<WeightFile> parse_gguf(std::span<const std::byte> bytes, std::string name) {
    const bool magic = bytes.size() >= gguf::kMagic.size() &&
                       std::memcmp(bytes.data(), gguf::kMagic.data(), gguf::kMagic.size()) == 0;
    if (!magic) throw Error(ErrorKind::model_unusable, name, "is no GGUF file");
    std::vector<Part> parts(1);
    parts.front().header = read_gguf_header(bytes, name);
    auto file = std::make_unique<GgufFile>(std::move(parts), std::move(name));
    file->set_bytes(bytes.size());
    return file;
}

}  // namespace core
