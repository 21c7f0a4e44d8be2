#include "core/formats/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_set>

#include <nlohmann/json.hpp>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/formats/safetensors.h"
#include "core/tensor/dtype.h"

namespace core {
namespace {

using Json = nlohmann::json;

struct TypeName {
    std::string_view name;
    DType type;
};

// Unsigned and boolean types are listed as the signed type of their width: no model computes with
// them, but a checkpoint that carries such a buffer is none the worse.
constexpr auto kTypes = std::to_array<TypeName>({
    {"F32", DType::f32},
    {"F16", DType::f16},
    {"BF16", DType::bf16},
    {"F64", DType::f64},
    {"F8_E4M3", DType::f8_e4m3},
    {"I8", DType::i8},
    {"U8", DType::i8},
    {"BOOL", DType::i8},
    {"I16", DType::i16},
    {"U16", DType::i16},
    {"I32", DType::i32},
    {"U32", DType::i32},
    {"I64", DType::i64},
    {"U64", DType::i64},
});

// An entry of the header as it stands there.
struct Entry {
    std::string name;
    std::string type;
    std::vector<uint64_t> shape;
    std::vector<uint64_t> offsets;  // begin, end
    bool has_type = false;
    bool has_shape = false;
};

// Events of the parser: {name: {"dtype": string, "shape": [u...], "data_offsets": [u, u]}} and
// nothing else, so that memory is bounded by what the entries need. Each returns whether it may go
// on.
class EntryReader : public nlohmann::json_sax<Json> {
  public:
    std::vector<Entry> entries;
    std::vector<std::pair<std::string, std::string>> metadata;
    std::string problem;

    bool null() override { return wrong_value(); }
    bool boolean(bool) override { return wrong_value(); }
    bool number_integer(number_integer_t) override { return wrong_value(); }
    bool number_float(number_float_t, const string_t&) override { return wrong_value(); }
    bool binary(binary_t&) override { return wrong_value(); }

    bool number_unsigned(number_unsigned_t number) override {
        if (array_ == nullptr) return wrong_value();
        const bool is_shape = field_ == "shape";
        if (array_->size() == (is_shape ? safetensors::kMaxDimensions : 2)) {
            return refuse(entry_text() + " has more than " + std::to_string(array_->size()) +
                          (is_shape ? " dimensions" : " offsets"));
        }
        array_->push_back(number);
        return true;
    }

    bool string(string_t& text) override {
        if (in_metadata_) {
            if (metadata.size() == safetensors::kMaxMetadata)
                return refuse("__metadata__ has more than " +
                              std::to_string(safetensors::kMaxMetadata) + " values");
            metadata.emplace_back(field_, std::move(text));
            return true;
        }
        if (depth_ != 2 || field_ != "dtype" || array_ != nullptr) return wrong_value();
        entries.back().type = std::move(text);
        entries.back().has_type = true;
        return true;
    }

    bool start_object(size_t) override {
        if (++depth_ > 2 || array_ != nullptr) return wrong_value();
        if (depth_ == 2) fields_.clear();
        return true;
    }

    bool key(string_t& name) override {
        if (depth_ == 1) return begin_entry(name);
        if (!fields_.insert(name).second) return refuse(entry_text() + " has a field twice");
        field_ = std::move(name);
        if (in_metadata_ || field_ == "dtype" || field_ == "shape" || field_ == "data_offsets")
            return true;
        return refuse(entry_text() + " has the unknown field " + sanitize(field_));
    }

    bool end_object() override {
        if (--depth_ == 0 || in_metadata_) return true;
        const Entry& entry = entries.back();
        if (entry.has_type && entry.has_shape && entry.offsets.size() == 2) return true;
        return refuse(entry_text() + " lacks its dtype, shape or data_offsets");
    }

    bool start_array(size_t) override {
        if (depth_ != 2 || in_metadata_ || array_ != nullptr) return wrong_value();
        if (field_ == "shape") {
            array_ = &entries.back().shape;
            entries.back().has_shape = true;
        } else if (field_ == "data_offsets") {
            array_ = &entries.back().offsets;
        } else {
            return wrong_value();
        }
        return true;
    }

    bool end_array() override {
        array_ = nullptr;
        return true;
    }

    bool parse_error(size_t position, const std::string&, const Json::exception&) override {
        return refuse("its header is no JSON at byte " + std::to_string(position));
    }

  private:
    bool refuse(std::string text) {
        problem = std::move(text);
        return false;
    }
    bool wrong_value() {
        if (depth_ < 2 && !in_metadata_) return refuse("its header is no object of tensors");
        return refuse(entry_text() + " has a " + sanitize(field_) + " of the wrong kind");
    }
    std::string entry_text() const {
        return in_metadata_ || entries.empty() ? "__metadata__"
                                               : "tensor " + sanitize(entries.back().name);
    }
    bool begin_entry(const std::string& name) {
        if (!names_.insert(name).second)
            return refuse("tensor " + sanitize(name) + " occurs twice");
        in_metadata_ = name == "__metadata__";
        if (in_metadata_) return true;
        if (entries.size() == safetensors::kMaxTensors) {
            return refuse("has more than " + std::to_string(safetensors::kMaxTensors) + " tensors");
        }
        entries.push_back({});
        entries.back().name = name;
        // A NUL would let two different names look the same.
        if (name.empty() || name.find('\0') != std::string::npos)
            return refuse("tensor " + std::to_string(entries.size() - 1) +
                          " has an empty name or one with a NUL");
        return true;
    }

    uint32_t depth_ = 0;
    bool in_metadata_ = false;
    std::string field_;
    std::vector<uint64_t>* array_ = nullptr;  // the open array
    std::unordered_set<std::string> names_;
    std::unordered_set<std::string> fields_;  // of the open entry
};

// a * b, or nothing when it does not fit an int64.
std::optional<uint64_t> multiply(uint64_t a, uint64_t b) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return static_cast<uint64_t>(product);
}

// Checks entries against the data that follow the header.
class Binder {
  public:
    Binder(std::span<const std::byte> data, const ByteReader& in) : data_(data), in_(in) {}

    // No holes, no overlaps, nothing behind the last tensor. Empty tensors lie anywhere.
    void check_places(std::vector<Entry>& entries) const {
        std::vector<const Entry*> sorted;
        sorted.reserve(entries.size());
        for (const Entry& entry : entries)
            sorted.push_back(&entry);
        std::ranges::sort(sorted, {}, [](const Entry* entry) { return entry->offsets; });
        uint64_t end = 0;
        for (const Entry* entry : sorted) {
            const uint64_t begin = entry->offsets[0];
            if (begin != end || entry->offsets[1] < begin) {
                fail(*entry, "lies at bytes " + std::to_string(begin) + " to " +
                                 std::to_string(entry->offsets[1]) +
                                 " of the data, expected to begin at " + std::to_string(end));
            }
            end = entry->offsets[1];
            if (end > data_.size()) {
                in_.fail("tensor " + sanitize(entry->name) + " ends at byte " +
                             std::to_string(end) + " of the data, the file has " +
                             std::to_string(data_.size()),
                         "the download is incomplete");
            }
        }
        if (end != data_.size()) {
            in_.fail("has " + std::to_string(data_.size() - end) + " bytes behind its last tensor",
                     "the file is damaged");
        }
    }

    TensorInfo bind(Entry& entry) const {
        TensorInfo tensor;
        tensor.name = std::move(entry.name);
        const auto* known = std::ranges::find(kTypes, entry.type, &TypeName::name);
        if (known == kTypes.end()) {
            in_.fail("tensor " + sanitize(tensor.name) + " has type " + sanitize(entry.type) +
                         ", which moxie does not know",
                     "take a version of the model in another type");
        }
        tensor.type = known->type;
        tensor.shape.assign(entry.shape.rbegin(), entry.shape.rend());
        if (tensor.shape.empty()) tensor.shape.push_back(1);
        std::optional<uint64_t> bytes = traits(tensor.type).bytes;
        for (const uint64_t size : tensor.shape)
            bytes = bytes ? multiply(*bytes, size) : bytes;
        const uint64_t begin = entry.offsets[0];
        const uint64_t length = entry.offsets[1] - begin;
        if (!bytes || *bytes != length) {
            in_.fail("tensor " + sanitize(tensor.name) + " has " + std::to_string(length) +
                         " bytes, its shape needs " +
                         (bytes ? std::to_string(*bytes) : std::string("more than 2^63")),
                     "the file is damaged");
        }
        tensor.data = data_.subspan(begin, length);
        return tensor;
    }

  private:
    [[noreturn]] void fail(const Entry& entry, const std::string& problem) const {
        in_.fail("tensor " + sanitize(entry.name) + " " + problem, "the file is damaged");
    }

    std::span<const std::byte> data_;
    const ByteReader& in_;
};

}  // namespace

SafetensorsHeader read_safetensors_header(std::span<const std::byte> bytes,
                                          const std::string& name) {
    ByteReader in(bytes, name);
    const auto length = in.read<uint64_t>("length of the header");
    if (length > safetensors::kMaxHeaderBytes) {
        in.fail("has a header of " + std::to_string(length) + " bytes, at most " +
                    std::to_string(safetensors::kMaxHeaderBytes) + " are believed",
                "the file is damaged or no safetensors file");
    }
    const auto header = in.take(length, "header");
    const auto* text = reinterpret_cast<const char*>(header.data());
    if (length == 0 || text[0] != '{')
        in.fail("its header does not begin with a brace", "the file is no safetensors file");
    EntryReader reader;
    if (!Json::sax_parse(text, text + length, &reader))
        in.fail(reader.problem, "the file is damaged");

    const Binder binder(bytes.subspan(in.offset()), in);
    binder.check_places(reader.entries);
    SafetensorsHeader result;
    result.metadata = std::move(reader.metadata);
    result.tensors.reserve(reader.entries.size());
    for (Entry& entry : reader.entries) {
        TensorInfo tensor = binder.bind(entry);
        if (!tensor.data.empty()) result.tensors.push_back(std::move(tensor));
    }
    return result;
}

}  // namespace core
