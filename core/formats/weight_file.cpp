#include "core/formats/weight_file.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "core/base/error.h"
#include "core/base/mapped_file.h"
#include "core/base/utf8.h"
#include "core/formats/gguf.h"
#include "core/formats/grok1_checkpoint.h"
#include "core/formats/safetensors.h"

namespace core {
namespace {

using Array = std::shared_ptr<const MetaArray>;

// What a value is, for messages: `"text"`, `17`, `an array of 3`.
struct Describe {
    static constexpr size_t kShown = 40;

    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(const Array& value) const {
        return "an array of " + std::to_string(value->size());
    }
    std::string operator()(const std::string& value) const {
        return '"' + sanitize(value.substr(0, kShown)) + (value.size() > kShown ? "...\"" : "\"");
    }
    template <class Number>
    std::string operator()(Number number) const {
        return std::to_string(number);
    }
};

[[noreturn]] void wrong(const std::string& path, std::string_view key, const MetaValue& meta,
                        std::string_view expected) {
    throw Error(ErrorKind::model_unusable, path,
                sanitize(key) + " is " + std::visit(Describe{}, meta.value) + ", expected " +
                    std::string(expected));
}

// The value as Number when it is an integer and fits, whatever its width in the file.
template <std::integral Number>
std::optional<Number> as_integer(const MetaValue& meta) {
    if (const auto* value = std::get_if<int64_t>(&meta.value);
        value && std::in_range<Number>(*value))
        return static_cast<Number>(*value);
    if (const auto* value = std::get_if<uint64_t>(&meta.value);
        value && std::in_range<Number>(*value))
        return static_cast<Number>(*value);
    return std::nullopt;
}

// Integers are accepted: some writers store `1` for 1.0.
std::optional<double> as_float(const MetaValue& meta) {
    if (const auto* value = std::get_if<double>(&meta.value)) return *value;
    if (const auto* value = std::get_if<int64_t>(&meta.value)) return static_cast<double>(*value);
    if (const auto* value = std::get_if<uint64_t>(&meta.value)) return static_cast<double>(*value);
    return std::nullopt;
}

template <class Value>
std::optional<Value> as(const MetaValue& meta) {
    const auto* value = std::get_if<Value>(&meta.value);
    return value != nullptr ? std::optional<Value>(*value) : std::nullopt;
}

std::optional<float> as_single(const MetaValue& meta) {
    const std::optional<double> value = as_float(meta);
    return value ? std::optional<float>(static_cast<float>(*value)) : std::nullopt;
}

// The value of `key` through `convert`; nothing when absent, Error when convert finds nothing.
template <class Convert>
auto scalar(const WeightFile& file, std::string_view key, std::string_view expected,
            Convert convert) -> decltype(convert(std::declval<MetaValue>())) {
    const MetaValue* meta = file.find_meta(key);
    if (meta == nullptr) return std::nullopt;
    auto value = convert(*meta);
    if (!value) wrong(file.path(), key, *meta, expected);
    return value;
}

template <class Convert>
auto list(const WeightFile& file, std::string_view key, std::string_view expected, Convert convert)
    -> std::optional<
        std::vector<typename decltype(convert(std::declval<MetaValue>()))::value_type>> {
    using Element = typename decltype(convert(std::declval<MetaValue>()))::value_type;
    const MetaValue* meta = file.find_meta(key);
    if (meta == nullptr) return std::nullopt;
    const auto* array = std::get_if<Array>(&meta->value);
    if (array == nullptr) wrong(file.path(), key, *meta, "an array of " + std::string(expected));
    std::vector<Element> values;
    values.reserve((*array)->size());
    for (const MetaValue& element : **array) {
        auto value = convert(element);
        if (!value) {
            wrong(file.path(), std::string(key) + "[" + std::to_string(values.size()) + "]",
                  element, expected);
        }
        values.push_back(std::move(*value));
    }
    return values;
}

std::unique_ptr<WeightFile> open_folder(const std::string& path) {
    if (const auto checkpoint = find_grok1_checkpoint(path))
        return open_grok1_checkpoint(*checkpoint);
    return open_safetensors_folder(path);
}

std::unique_ptr<WeightFile> open_file(const std::string& path) {
    auto file = std::make_unique<MappedFile>(path);
    const auto bytes = file->bytes();
    const auto starts_with = [&](std::string_view magic) {
        return bytes.size() >= magic.size() &&
               std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
    };
    if (starts_with(gguf::kMagic)) return open_gguf(std::move(file));
    if (looks_like_safetensors(bytes)) return open_safetensors(std::move(file));
    if (bytes.empty())
        throw Error(ErrorKind::model_unusable, path, "is empty", "the file is incomplete");
    throw Error(ErrorKind::model_unusable, path, "is no model file that moxie knows",
                "give it a GGUF file, a safetensors file or the folder of a model");
}

}  // namespace

uint64_t TensorInfo::elements() const {
    uint64_t product = 1;
    for (const uint64_t size : shape)
        product *= size;
    return product;
}

uint64_t TensorInfo::value_bytes() const {
    const DTypeTraits& t = traits(type);
    return elements() / t.block * t.bytes;
}

std::span<const std::byte> TensorInfo::rows_in_place(uint64_t first, uint64_t count) const {
    const uint64_t row_bytes = value_bytes() / rows();
    return data.subspan(first * row_bytes, count * row_bytes);
}

void WeightFile::read_rows(const TensorInfo& tensor, uint64_t first, std::span<std::byte> values,
                           std::span<std::byte> scales) const {
    const uint64_t row_bytes = tensor.value_bytes() / tensor.rows();
    std::ranges::copy(tensor.data.subspan(first * row_bytes, values.size()), values.begin());
    if (scales.empty()) return;
    const uint64_t scale_bytes = tensor.scale_bytes() / tensor.rows();
    std::ranges::copy(tensor.scales.subspan(first * scale_bytes, scales.size()), scales.begin());
}

void WeightFile::release_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const {
    release(tensor.rows_in_place(first, count));
}

void WeightFile::prefetch_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const {
    prefetch(tensor.rows_in_place(first, count));
}

const TensorInfo* WeightFile::find_tensor(std::string_view name) const {
    const auto all = tensors();
    const auto found = std::ranges::find(all, name, &TensorInfo::name);
    return found == all.end() ? nullptr : &*found;
}

const MetaValue* WeightFile::find_meta(std::string_view key) const {
    const auto all = metadata();
    const auto found = std::ranges::find(all, key, &std::pair<std::string, MetaValue>::first);
    return found == all.end() ? nullptr : &found->second;
}

std::optional<uint64_t> WeightFile::meta_uint(std::string_view key) const {
    return scalar(*this, key, "a whole number", as_integer<uint64_t>);
}

std::optional<double> WeightFile::meta_float(std::string_view key) const {
    return scalar(*this, key, "a number", as_float);
}

std::optional<bool> WeightFile::meta_bool(std::string_view key) const {
    return scalar(*this, key, "true or false", as<bool>);
}

std::optional<std::string> WeightFile::meta_string(std::string_view key) const {
    return scalar(*this, key, "a string", as<std::string>);
}

std::optional<std::vector<std::string>> WeightFile::meta_strings(std::string_view key) const {
    return list(*this, key, "strings", as<std::string>);
}

std::optional<std::vector<float>> WeightFile::meta_floats(std::string_view key) const {
    return list(*this, key, "numbers", as_single);
}

std::optional<std::vector<int64_t>> WeightFile::meta_ints(std::string_view key) const {
    return list(*this, key, "whole numbers", as_integer<int64_t>);
}

std::unique_ptr<WeightFile> open_weight_file(const std::string& path) {
    try {
        return std::filesystem::is_directory(path) ? open_folder(path) : open_file(path);
    } catch (const std::filesystem::filesystem_error& error) {
        throw Error(ErrorKind::model_not_found, error.path1().string(),
                    "cannot be opened: " + error.code().message());
    }
}

}  // namespace core
