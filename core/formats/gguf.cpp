#include "core/formats/gguf.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/formats/gguf_header.h"
#include "core/formats/mapped_weights.h"
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
    if (number == 0 || number > count || count > kMaxParts || !path.ends_with(suffix)) {
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
    parts[number - 1] = std::move(opened);
    return parts;
}

class GgufFile final : public MappedWeights {
  public:
    // One or all parts of a model, which is known by the path of the first.
    GgufFile(std::vector<Part> parts, std::string path)
        : MappedWeights(std::move(path), model_metadata(parts)),
          format_("GGUF v" + std::to_string(parts.front().header.version)) {
        if (parts.size() > 1) format_ += " in " + std::to_string(parts.size()) + " parts";
        std::vector<TensorInfo> tensors;
        for (Part& part : parts) {
            tensors.insert(tensors.end(), std::make_move_iterator(part.header.tensors.begin()),
                           std::make_move_iterator(part.header.tensors.end()));
            if (part.file != nullptr) keep(std::move(part.file));
        }
        const auto announced = number_of(parts.front().header.metadata, kSplitTensors);
        if (parts.size() > 1 && announced.value_or(tensors.size()) != tensors.size()) {
            fail("has " + std::to_string(tensors.size()) + " tensors in its parts, " +
                 std::to_string(*announced) + " are announced");
        }
        // Before scales are folded away: a second one would stay as a tensor of its own.
        std::unordered_set<std::string_view> names;
        for (const TensorInfo& tensor : tensors)
            if (!names.insert(tensor.name).second)
                fail("tensor " + sanitize(tensor.name) + " occurs in two parts");
        for (TensorInfo& tensor : fold_i8c(std::move(tensors), this->path()))
            add_tensor(std::move(tensor));
    }
    // Bytes of one file that somebody else keeps.
    GgufFile(std::vector<Part> parts, std::string name, uint64_t bytes)
        : GgufFile(std::move(parts), std::move(name)) {
        count_bytes(bytes);
    }

    std::string_view format() const override { return format_; }

  private:
    // What is left of several parts is what the model in one file would have.
    static Metadata model_metadata(const std::vector<Part>& parts) {
        Metadata metadata = parts.front().header.metadata;
        if (parts.size() > 1) {
            std::erase_if(metadata,
                          [](const auto& entry) { return entry.first.starts_with("split."); });
        }
        return metadata;
    }

    [[noreturn]] void fail(std::string problem) const {
        throw Error(ErrorKind::model_unusable, path(), std::move(problem),
                    "the folder holds files of two models");
    }

    std::string format_;
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
    return std::make_unique<GgufFile>(std::move(parts), std::move(name), bytes.size());
}

}  // namespace core
