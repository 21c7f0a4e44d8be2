// Writes GGUF v3 files in one pass, so that a model of any size never lies in memory.
//
//   GgufWriter writer("tiny.gguf");
//   writer.add_string("general.architecture", "grok");
//   writer.add<uint32_t>("grok.block_count", 2);
//   writer.declare("token_embd.weight", DType::q8_0, {dim, vocab});
//   writer.append_floats(row);  // as often as it takes; or append_bytes with storage blocks
//   writer.finish();
//
// First all metadata, then all declarations, then the data of each tensor in the order of
// declaration. The file appears under its name complete or not at all: it is written beside it,
// synced and renamed by finish(). Misuse (a name twice, too much data) is an Error(internal), a
// failing disk an Error(storage).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <vector>

#include "core/tensor/dtype.h"

namespace core {

class GgufWriter {
  public:
    explicit GgufWriter(std::string path);
    // Removes what was written unless finish() succeeded.
    ~GgufWriter();
    GgufWriter(const GgufWriter&) = delete;
    GgufWriter& operator=(const GgufWriter&) = delete;

    // Metadata. The type is always spelled out, because readers of the field are strict about it:
    // hyperparameters are uint32_t or float. T: an integer of 8 to 64 bits, float, double or bool.
    template <class T>
    void add(std::string_view key, std::type_identity_t<T> value);
    template <class T>
    void add_array(std::string_view key, std::type_identity_t<std::span<const T>> values);
    void add_string(std::string_view key, std::string_view value);
    void add_strings(std::string_view key, std::span<const std::string> values);

    // Declares the next tensor. shape[0] is the contiguous (input) dimension. I8C declares two
    // tensors, the values and `NAME.scales` with `scale_groups` column groups per row; groups have
    // a multiple of 32 columns.
    void declare(std::string name, DType type, std::vector<uint64_t> shape,
                 uint64_t scale_groups = 0);

    // Appends whole rows to the current tensor, converted to its type; moves on when it is full.
    // For I8C the scales are computed and written too.
    // REQUIRES: the type has a row codec (quantize.h) or is I8C; rows do not cross a tensor.
    void append_floats(std::span<const float> rows);

    // Appends bytes in storage layout. I8C: first all values, then all scales (BF16).
    // REQUIRES: the bytes do not cross a tensor; not mixed with append_floats in one tensor.
    void append_bytes(std::span<const std::byte> bytes);

    // The tensor that the next data belong to; empty when all are complete. For messages and loops.
    std::string_view current() const;

    // Completes the file and gives it its name.
    void finish();

  private:
    struct Entry {
        std::string name;
        DType type;  // never I8C: its two parts are I8 and BF16
        std::vector<uint64_t> shape;
        uint64_t bytes = 0;
        uint64_t scale_groups = 0;  // of the values of an I8C tensor, whose scales come next
    };

    void add_key(std::string_view key, uint32_t type);
    void add_entry(std::string name, DType type, std::vector<uint64_t> shape, uint64_t groups);
    void begin_data();
    std::string tensor_table() const;
    void advance();
    void put(std::span<const std::byte> bytes);
    void put_padding();
    void flush();
    void keep_disk_busy();
    [[noreturn]] void fail(std::string problem) const;
    [[noreturn]] void fail_disk(std::string_view doing) const;

    std::string path_;
    std::string partial_;  // the name while it is written
    int file_ = -1;

    std::string metadata_;  // encoded
    uint64_t keys_ = 0;
    std::unordered_set<std::string> key_names_;
    std::vector<Entry> entries_;
    std::unordered_set<std::string> tensor_names_;

    bool data_begun_ = false;
    size_t current_ = 0;        // index into entries_
    uint64_t filled_ = 0;       // bytes of the current entry so far
    uint64_t written_ = 0;      // bytes of the file so far, those in buffer_ included
    uint64_t flushed_ = 0;      // of them, those that the system has
    uint64_t handed_over_ = 0;  // of them, those whose writing the disk has begun
    std::vector<std::byte> buffer_;
    std::vector<std::byte> row_;    // one converted row
    std::vector<uint16_t> scales_;  // of the current I8C tensor so far
};

}  // namespace core
