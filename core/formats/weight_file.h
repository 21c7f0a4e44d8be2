// A file of named tensors and metadata, whatever its format. Opened by magic, never by file name.
// Some formats spread a model over a folder of files: then the folder is what is opened.
//
// The file stays mapped while the WeightFile lives; tensor data are views into the mapping.
// Files are untrusted: open() validates everything that later code relies on (bounds, shapes,
// types, unique names) and throws Error with ErrorKind::model_unusable otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/tensor/dtype.h"

namespace core {

// A tensor in a file. `shape[0]` is the contiguous (input) dimension, as in GGUF:
// a linear layer y = W x with W [out, in] has shape {in, out}; stacked experts {in, out, experts}.
struct TensorInfo {
    std::string name;
    DType type = DType::f32;
    std::vector<uint64_t> shape;  // 1 to 4 dimensions, all >= 1
    // Valid while the WeightFile lives. Empty when the file holds the tensor in another form
    // (transposed, in shards, in a type of its own): then only read_rows() has it.
    std::span<const std::byte> data;
    std::span<const std::byte> scales = {};  // I8C only: BF16 [groups, out(, experts)]
    uint64_t scale_groups = 0;               // I8C only: column groups per row

    uint64_t dim(size_t index) const { return index < shape.size() ? shape[index] : 1; }
    uint64_t elements() const;
    uint64_t rows() const { return elements() / dim(0); }
    // Of all values in storage blocks, and of the scales.
    uint64_t value_bytes() const;
    uint64_t scale_bytes() const { return 2 * scale_groups * rows(); }
    uint64_t bytes() const { return value_bytes() + scale_bytes(); }
    // REQUIRES: data are not empty; the rows lie within the tensor.
    std::span<const std::byte> rows_in_place(uint64_t first, uint64_t count) const;
};

// A metadata value. Integers of every width become int64/uint64, floats double.
struct MetaValue;
using MetaArray = std::vector<MetaValue>;
struct MetaValue {
    std::variant<bool, int64_t, uint64_t, double, std::string, std::shared_ptr<const MetaArray>>
        value;
};

using Metadata = std::vector<std::pair<std::string, MetaValue>>;

class WeightFile {
  public:
    virtual ~WeightFile() = default;

    virtual std::string_view format() const = 0;  // "GGUF v3"
    virtual const std::string& path() const = 0;
    virtual uint64_t file_bytes() const = 0;

    // In file order. I8C companions (`NAME.scales`) are folded into their tensor, not listed.
    virtual std::span<const TensorInfo> tensors() const = 0;
    virtual std::span<const std::pair<std::string, MetaValue>> metadata() const = 0;

    // True when the file has shrunk under its mapping since it was opened: what was read from it
    // may be zeros. The loader asks after reading and throws; see mapped_file.h.
    virtual bool damaged() const = 0;

    // Tells the kernel that these bytes of the mapping are not needed again soon.
    virtual void release(std::span<const std::byte> bytes) const = 0;

    // Copies rows from `first` on, as many as `values` holds, in storage blocks of the tensor's
    // type; a stack of experts [experts, out, in] is a matrix of experts * out rows. `scales`: I8C
    // only, [rows, groups]. Any thread; does not throw.
    // REQUIRES: the tensor is one of tensors(); whole rows within it.
    virtual void read_rows(const TensorInfo& tensor, uint64_t first, std::span<std::byte> values,
                           std::span<std::byte> scales) const;

    // Tells the kernel that these bytes of the mapping are needed soon. Returns at once.
    virtual void prefetch(std::span<const std::byte> bytes) const = 0;

    // release() and prefetch() of what these rows are read from.
    virtual void release_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const;
    virtual void prefetch_rows(const TensorInfo& tensor, uint64_t first, uint64_t count) const;

    // Null when absent. The defaults walk the lists; a format with an index overrides them.
    virtual const TensorInfo* find_tensor(std::string_view name) const;
    virtual const MetaValue* find_meta(std::string_view key) const;

    // Typed metadata. Absent: nothing. Present with another type or out of range: Error that names
    // the key and the value seen. Any integer width is accepted where the value fits.
    std::optional<uint64_t> meta_uint(std::string_view key) const;
    std::optional<double> meta_float(std::string_view key) const;
    std::optional<bool> meta_bool(std::string_view key) const;
    std::optional<std::string> meta_string(std::string_view key) const;
    std::optional<std::vector<std::string>> meta_strings(std::string_view key) const;
    std::optional<std::vector<float>> meta_floats(std::string_view key) const;
    std::optional<std::vector<int64_t>> meta_ints(std::string_view key) const;
};

// Opens a weight file or a folder of them (Hugging Face's safetensors, Grok-1's checkpoint). Error:
// model_not_found when it does not exist or cannot be read, model_unusable when it is no format we
// know or is damaged.
std::unique_ptr<WeightFile> open_weight_file(const std::string& path);

}  // namespace core
