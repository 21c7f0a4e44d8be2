#include "core/formats/gguf_header.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/units.h"
#include "core/base/utf8.h"
#include "core/formats/gguf.h"
#include "core/tensor/dtype.h"

namespace core {
namespace {

using gguf::ValueType;

constexpr std::string_view kDamaged = "the file is damaged";

std::string decimal(uint64_t number) {
    return std::to_string(number);
}

std::string to_text(std::span<const uint64_t> shape) {
    std::string text = "[";
    for (const uint64_t size : shape)
        text += (text.size() > 1 ? ", " : "") + decimal(size);
    return text + "]";
}

// a * b, or nothing when it does not fit an int64 (the format's own type of sizes).
std::optional<uint64_t> multiply(uint64_t a, uint64_t b) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
    return static_cast<uint64_t>(product);
}

// Decodes the header: metadata, then the tensor table.
class HeaderReader {
  public:
    HeaderReader(std::span<const std::byte> bytes, std::string name)
        : bytes_(bytes), in_(bytes, std::move(name)) {}

    GgufHeader read();

  private:
    void read_version();
    void read_metadata(uint64_t keys);
    void read_alignment();
    void read_tensors(uint64_t count);
    TensorInfo read_tensor();
    DType read_type(const std::string& tensor);
    void bind_data();
    [[noreturn]] void fail_truncated(uint64_t end) const;
    void refuse_overlap() const;

    MetaValue read_value(ValueType type, const std::string& key);
    MetaValue read_array(const std::string& key);
    MetaValue read_bool(const std::string& key);
    std::string read_string(uint64_t cap, std::string_view what);
    uint64_t read_count(uint64_t cap, uint64_t smallest, std::string_view what);
    uint64_t byte_size(const TensorInfo& tensor) const;

    [[noreturn]] void fail(std::string problem, std::string_view advice = kDamaged) const {
        in_.fail(std::move(problem), std::string(advice));
    }
    [[noreturn]] void fail_tensor(const std::string& name, const std::string& problem,
                                  std::string_view advice = kDamaged) const {
        fail("tensor " + sanitize(name) + " " + problem, advice);
    }

    std::span<const std::byte> bytes_;
    ByteReader in_;
    GgufHeader header_;
    uint64_t alignment_ = gguf::kDefaultAlignment;
    uint64_t array_elements_ = 0;    // of all arrays so far
    std::vector<uint64_t> offsets_;  // of each tensor, from the start of the data
};

GgufHeader HeaderReader::read() {
    read_version();
    // A tensor takes at least a name of one byte, no dimension, its type and offset; a key at
    // least one byte, its type and a value of one byte.
    const uint64_t tensor_count = read_count(gguf::kMaxTensors, 8 + 1 + 4 + 4 + 8, "tensor count");
    const uint64_t key_count = read_count(gguf::kMaxKeys, 8 + 1 + 4 + 1, "key count");
    read_metadata(key_count);
    read_alignment();
    read_tensors(tensor_count);
    bind_data();
    refuse_overlap();
    return std::move(header_);
}

void HeaderReader::read_version() {
    in_.skip(gguf::kMagic.size(), "magic");
    const auto version = in_.read<uint32_t>("version");
    header_.version = version;
    if (version == 2 || version == 3) return;
    if (version == 1) fail("is GGUF version 1", "convert it again with a newer tool");
    const uint32_t swapped = __builtin_bswap32(version);
    if (swapped >= 1 && swapped <= 3) {
        fail("is a big-endian GGUF file", "convert it again for a little-endian machine");
    }
    fail("is GGUF version " + decimal(version) + ", versions 2 and 3 are known",
         "this moxie may be too old for it");
}

uint64_t HeaderReader::read_count(uint64_t cap, uint64_t smallest, std::string_view what) {
    const auto count = in_.read<uint64_t>(what);
    if (count > cap || count > in_.remaining() / smallest) {
        fail("the " + std::string(what) + " is " + decimal(count) + ", in a file of " +
             decimal(bytes_.size()) + " bytes");
    }
    return count;
}

std::string HeaderReader::read_string(uint64_t cap, std::string_view what) {
    return in_.string(in_.read<uint64_t>(what), cap, what);
}

void HeaderReader::read_metadata(uint64_t keys) {
    std::unordered_set<std::string> seen;
    header_.metadata.reserve(keys);
    for (uint64_t i = 0; i < keys; ++i) {
        std::string key = read_string(gguf::kMaxKeyBytes, "name of a key");
        // A NUL would let two different keys look the same.
        if (key.empty() || key.find('\0') != std::string::npos)
            fail("key " + decimal(i) + " has the name \"" + sanitize(key) + "\"");
        if (!seen.insert(key).second) fail("key " + sanitize(key) + " occurs twice");
        const auto type = static_cast<ValueType>(in_.read<uint32_t>("type of a value"));
        MetaValue value = type == ValueType::array ? read_array(key) : read_value(type, key);
        header_.metadata.emplace_back(std::move(key), std::move(value));
    }
}

MetaValue HeaderReader::read_value(ValueType type, const std::string& key) {
    constexpr std::string_view kWhat = "value of a key";
    const auto read_signed = [&](auto value) { return MetaValue{int64_t{value}}; };
    const auto read_unsigned = [&](auto value) { return MetaValue{uint64_t{value}}; };
    switch (type) {
        case ValueType::u8: return read_unsigned(in_.read<uint8_t>(kWhat));
        case ValueType::i8: return read_signed(in_.read<int8_t>(kWhat));
        case ValueType::u16: return read_unsigned(in_.read<uint16_t>(kWhat));
        case ValueType::i16: return read_signed(in_.read<int16_t>(kWhat));
        case ValueType::u32: return read_unsigned(in_.read<uint32_t>(kWhat));
        case ValueType::i32: return read_signed(in_.read<int32_t>(kWhat));
        case ValueType::u64: return read_unsigned(in_.read<uint64_t>(kWhat));
        case ValueType::i64: return read_signed(in_.read<int64_t>(kWhat));
        case ValueType::f32: return {double{in_.read<float>(kWhat)}};
        case ValueType::f64: return {in_.read<double>(kWhat)};
        case ValueType::boolean: return read_bool(key);
        case ValueType::string: return {read_string(gguf::kMaxStringBytes, kWhat)};
        case ValueType::array: break;  // inside an array: no reader of the field accepts it
    }
    fail("key " + sanitize(key) + " has a value of type " + decimal(static_cast<uint32_t>(type)));
}

MetaValue HeaderReader::read_bool(const std::string& key) {
    const auto byte = in_.read<uint8_t>("value of a key");
    if (byte > 1) fail("key " + sanitize(key) + " is a bool of value " + decimal(byte));
    return {byte == 1};
}

// Fewest bytes that an element of an array can take.
uint64_t smallest_bytes(ValueType type) {
    switch (type) {
        case ValueType::u16:
        case ValueType::i16: return 2;
        case ValueType::u32:
        case ValueType::i32:
        case ValueType::f32: return 4;
        case ValueType::u64:
        case ValueType::i64:
        case ValueType::f64:
        case ValueType::string: return 8;
        default: return 1;
    }
}

MetaValue HeaderReader::read_array(const std::string& key) {
    const auto type = static_cast<ValueType>(in_.read<uint32_t>("type of an array"));
    const uint64_t count = read_count(gguf::kMaxArrayElements - array_elements_,
                                      smallest_bytes(type), "length of an array");
    array_elements_ += count;
    auto elements = std::make_shared<MetaArray>();
    elements->reserve(count);
    for (uint64_t i = 0; i < count; ++i)
        elements->push_back(read_value(type, key));
    return {std::shared_ptr<const MetaArray>(std::move(elements))};
}

const MetaValue* find(const Metadata& metadata, std::string_view key) {
    const auto found = std::ranges::find(metadata, key, &std::pair<std::string, MetaValue>::first);
    return found == metadata.end() ? nullptr : &found->second;
}

void HeaderReader::read_alignment() {
    const MetaValue* value = find(header_.metadata, gguf::kAlignmentKey);
    if (value == nullptr) return;
    const auto* number = std::get_if<uint64_t>(&value->value);
    const bool good = number != nullptr && *number >= gguf::kMinAlignment &&
                      *number <= std::numeric_limits<uint32_t>::max() &&
                      std::has_single_bit(*number);
    if (!good) {
        fail("general.alignment is " + (number != nullptr ? decimal(*number) : "no u32") +
             ", expected a power of two of at least " + decimal(gguf::kMinAlignment));
    }
    alignment_ = *number;
}

void HeaderReader::read_tensors(uint64_t count) {
    std::unordered_set<std::string> seen;
    header_.tensors.reserve(count);
    offsets_.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
        header_.tensors.push_back(read_tensor());
        const std::string& name = header_.tensors.back().name;
        if (!seen.insert(name).second) fail_tensor(name, "occurs twice");
    }
}

TensorInfo HeaderReader::read_tensor() {
    TensorInfo tensor;
    tensor.name = read_string(gguf::kMaxNameBytes, "name of a tensor");
    if (tensor.name.empty() || tensor.name.find('\0') != std::string::npos)
        fail_tensor(tensor.name, "has an empty name or one with a NUL");
    const auto dimensions = in_.read<uint32_t>("number of dimensions of a tensor");
    if (dimensions > gguf::kMaxDimensions)
        fail_tensor(tensor.name, "has " + decimal(dimensions) + " dimensions, at most 4 are known");
    std::optional<uint64_t> elements = 1;
    for (uint32_t i = 0; i < dimensions; ++i) {
        tensor.shape.push_back(in_.read<uint64_t>("shape of a tensor"));
        if (elements) elements = multiply(*elements, tensor.shape.back());
    }
    if (!elements || *elements == 0)
        fail_tensor(tensor.name, "has the impossible shape " + to_text(tensor.shape));
    if (tensor.shape.empty()) tensor.shape.push_back(1);
    tensor.type = read_type(tensor.name);
    if (tensor.shape[0] % traits(tensor.type).block != 0) {
        fail_tensor(tensor.name, "has rows of " + decimal(tensor.shape[0]) +
                                     " elements, no multiple of " +
                                     decimal(traits(tensor.type).block) + " as " +
                                     std::string(traits(tensor.type).name) + " needs");
    }
    offsets_.push_back(in_.read<uint64_t>("offset of a tensor"));
    return tensor;
}

DType HeaderReader::read_type(const std::string& tensor) {
    const auto number = in_.read<uint32_t>("type of a tensor");
    const std::optional<DType> type = dtype_from_gguf(number);
    if (type) return *type;
    // Q4_2 and Q4_3, and the layouts repacked for one CPU that were files for a year.
    const bool removed = number == 4 || number == 5 || (number >= 31 && number <= 33) ||
                         (number >= 36 && number <= 38);
    if (removed) {
        fail_tensor(tensor, "has type " + decimal(number) + ", which was removed from GGUF",
                    "quantize the model again");
    }
    fail_tensor(tensor, "has the unknown type " + decimal(number),
                "the file may come from a fork with private types");
}

uint64_t HeaderReader::byte_size(const TensorInfo& tensor) const {
    const DTypeTraits& type = traits(tensor.type);
    const std::optional<uint64_t> bytes = multiply(tensor.elements() / type.block, type.bytes);
    if (!bytes) fail_tensor(tensor.name, "has the impossible shape " + to_text(tensor.shape));
    return *bytes;
}

uint64_t add_saturated(uint64_t a, uint64_t b) {
    uint64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<uint64_t>::max() : sum;
}

void HeaderReader::bind_data() {
    if (header_.tensors.empty()) return;
    // Does not overflow: below the file's size and an alignment of 32 bits.
    const uint64_t data_start = (in_.offset() + alignment_ - 1) / alignment_ * alignment_;
    uint64_t end = data_start;
    for (size_t i = 0; i < header_.tensors.size(); ++i) {
        const TensorInfo& tensor = header_.tensors[i];
        if (offsets_[i] % alignment_ != 0) {
            fail_tensor(tensor.name, "lies at offset " + decimal(offsets_[i]) +
                                         ", which is not aligned to " + decimal(alignment_));
        }
        end =
            std::max(end, add_saturated(add_saturated(data_start, offsets_[i]), byte_size(tensor)));
    }
    if (end > bytes_.size()) fail_truncated(end);
    for (size_t i = 0; i < header_.tensors.size(); ++i) {
        TensorInfo& tensor = header_.tensors[i];
        tensor.data = bytes_.subspan(data_start + offsets_[i], byte_size(tensor));
    }
}

void HeaderReader::fail_truncated(uint64_t end) const {
    std::string has = human_bytes(bytes_.size());
    std::string needs = human_bytes(end);
    if (has == needs) {
        has = with_commas(bytes_.size()) + " bytes";
        needs = with_commas(end) + " bytes";
    }
    fail("ends at " + has + ", header says " + needs, "incomplete download, nothing was loaded");
}

void HeaderReader::refuse_overlap() const {
    std::vector<const TensorInfo*> sorted;
    sorted.reserve(header_.tensors.size());
    for (const TensorInfo& tensor : header_.tensors)
        sorted.push_back(&tensor);
    std::ranges::sort(sorted, {}, [](const TensorInfo* tensor) { return tensor->data.data(); });
    for (size_t i = 1; i < sorted.size(); ++i) {
        if (sorted[i - 1]->data.data() + sorted[i - 1]->data.size() > sorted[i]->data.data())
            fail_tensor(sorted[i]->name, "overlaps tensor " + sanitize(sorted[i - 1]->name));
    }
}

}  // namespace

GgufHeader read_gguf_header(std::span<const std::byte> bytes, const std::string& name) {
    return HeaderReader(bytes, name).read();
}

}  // namespace core
