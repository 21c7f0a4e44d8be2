#include "core/formats/gguf_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/formats/gguf.h"
#include "core/tensor/quantize.h"

namespace core {
namespace {

using gguf::ValueType;

constexpr size_t kBufferBytes = 1 << 20;
constexpr std::string_view kPartialMark = ".partial-";

template <class T>
constexpr ValueType kValueType = [] {
    if constexpr (std::is_same_v<T, bool>) return ValueType::boolean;
    if constexpr (std::is_same_v<T, uint8_t>) return ValueType::u8;
    if constexpr (std::is_same_v<T, int8_t>) return ValueType::i8;
    if constexpr (std::is_same_v<T, uint16_t>) return ValueType::u16;
    if constexpr (std::is_same_v<T, int16_t>) return ValueType::i16;
    if constexpr (std::is_same_v<T, uint32_t>) return ValueType::u32;
    if constexpr (std::is_same_v<T, int32_t>) return ValueType::i32;
    if constexpr (std::is_same_v<T, uint64_t>) return ValueType::u64;
    if constexpr (std::is_same_v<T, int64_t>) return ValueType::i64;
    if constexpr (std::is_same_v<T, float>) return ValueType::f32;
    if constexpr (std::is_same_v<T, double>) return ValueType::f64;
}();

template <class T>
void encode(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void encode_string(std::string& out, std::string_view text) {
    encode(out, uint64_t{text.size()});
    out += text;
}

uint32_t number(ValueType type) {
    return static_cast<uint32_t>(type);
}

uint64_t align(uint64_t size) {
    return (size + gguf::kDefaultAlignment - 1) / gguf::kDefaultAlignment * gguf::kDefaultAlignment;
}

// A name beside `path` that no other writer uses, in this process or another.
std::string partial_name(const std::string& path) {
    static std::atomic<uint32_t> serial{0};
    return path + std::string(kPartialMark) + std::to_string(::getpid()) + "-" +
           std::to_string(serial++);
}

bool is_partial_suffix(std::string_view suffix) {
    return !suffix.empty() && suffix.find_first_not_of("0123456789-") == std::string_view::npos;
}

// A writer holds the lock of its file until it ends, however it ends: the numbers of processes say
// less, for they are given out again, and differently in every container.
void remove_unless_locked(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) return;
    if (::flock(file, LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
    ::close(file);
}

// What writers of this file left behind that were killed. They may be as large as the file.
void remove_abandoned(const std::string& path) {
    namespace fs = std::filesystem;
    const fs::path whole = fs::absolute(path).lexically_normal();
    const std::string prefix = whole.filename().string() + std::string(kPartialMark);
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(whole.parent_path(), error)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(prefix) && is_partial_suffix(name.substr(prefix.size())))
            remove_unless_locked(entry.path().string());
    }
}

// A new file with its lock; -1 and errno where it cannot be made. Between the two steps another
// writer may take it for abandoned and remove it: then again.
int create_locked(const std::string& path) {
    for (;;) {
        const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        if (file < 0) return -1;
        struct stat status = {};
        const bool locked = ::flock(file, LOCK_EX | LOCK_NB) == 0;
        // Where there are no locks nothing can be taken for abandoned either.
        if (!locked && errno != EWOULDBLOCK) return file;
        if (locked && ::fstat(file, &status) == 0 && status.st_nlink != 0) return file;
        ::close(file);
    }
}

}  // namespace

GgufWriter::GgufWriter(std::string path) : path_(std::move(path)), partial_(partial_name(path_)) {
    remove_abandoned(path_);
    file_ = create_locked(partial_);
    if (file_ < 0) fail_disk("cannot be created");
    buffer_.reserve(kBufferBytes);
}

GgufWriter::~GgufWriter() {
    if (file_ < 0) return;
    ::close(file_);
    ::unlink(partial_.c_str());
}

void GgufWriter::fail(std::string problem) const {
    throw Error(ErrorKind::internal, path_, std::move(problem));
}

void GgufWriter::fail_disk(std::string_view doing) const {
    const int error = errno;
    throw Error(ErrorKind::storage, path_,
                std::string(doing) + ": " + std::generic_category().message(error));
}

void GgufWriter::add_key(std::string_view key, uint32_t type) {
    if (data_begun_) fail("key " + std::string(key) + " comes after the data");
    if (key.empty() || key.size() > gguf::kMaxKeyBytes) fail("a key is empty or too long");
    if (!key_names_.emplace(key).second) fail("key " + std::string(key) + " is added twice");
    encode_string(metadata_, key);
    encode(metadata_, type);
    ++keys_;
}

template <class T>
void GgufWriter::add(std::string_view key, std::type_identity_t<T> value) {
    add_key(key, number(kValueType<T>));
    encode(metadata_, value);
}

template <class T>
void GgufWriter::add_array(std::string_view key, std::type_identity_t<std::span<const T>> values) {
    add_key(key, number(ValueType::array));
    encode(metadata_, number(kValueType<T>));
    encode(metadata_, uint64_t{values.size()});
    for (const T value : values)
        encode(metadata_, value);
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
    add_key(key, number(ValueType::string));
    encode_string(metadata_, value);
}

void GgufWriter::add_strings(std::string_view key, std::span<const std::string> values) {
    add_key(key, number(ValueType::array));
    encode(metadata_, number(ValueType::string));
    encode(metadata_, uint64_t{values.size()});
    for (const std::string& value : values)
        encode_string(metadata_, value);
}

void GgufWriter::declare(std::string name, DType type, std::vector<uint64_t> shape,
                         uint64_t scale_groups) {
    if (type != DType::i8c) {
        add_entry(std::move(name), type, std::move(shape), 0);
        return;
    }
    if (shape.empty() || scale_groups == 0 || shape[0] % (scale_groups * gguf::kGroupColumns) != 0)
        fail("tensor " + name + " needs groups of a multiple of 32 columns");
    std::string scales_name = name + std::string(gguf::kScalesSuffix);
    std::vector<uint64_t> scales_shape = shape;
    scales_shape[0] = scale_groups;
    add_entry(std::move(name), DType::i8, std::move(shape), scale_groups);
    add_entry(std::move(scales_name), DType::bf16, std::move(scales_shape), 0);
}

void GgufWriter::add_entry(std::string name, DType type, std::vector<uint64_t> shape,
                           uint64_t groups) {
    if (data_begun_) fail("tensor " + name + " is declared after the data began");
    if (name.empty() || name.size() > gguf::kMaxNameBytes)
        fail("tensor name " + name + " is empty or longer than 63 bytes");
    if (!tensor_names_.insert(name).second) fail("tensor " + name + " is declared twice");
    if (shape.empty() || shape.size() > gguf::kMaxDimensions || shape[0] % traits(type).block != 0)
        fail("tensor " + name + " has a shape that its type cannot have");
    uint64_t bytes = traits(type).bytes;
    bool overflow = false;
    for (size_t i = 0; i < shape.size(); ++i) {
        const uint64_t count = i == 0 ? shape[0] / traits(type).block : shape[i];
        overflow |= __builtin_mul_overflow(bytes, count, &bytes);
    }
    if (overflow || bytes == 0) fail("tensor " + name + " has an impossible shape");
    entries_.push_back({std::move(name), type, std::move(shape), bytes, groups});
}

std::string GgufWriter::tensor_table() const {
    std::string table;
    uint64_t offset = 0;
    for (const Entry& entry : entries_) {
        encode_string(table, entry.name);
        encode(table, static_cast<uint32_t>(entry.shape.size()));
        for (const uint64_t size : entry.shape)
            encode(table, size);
        encode(table, static_cast<uint32_t>(entry.type));
        encode(table, offset);
        offset += align(entry.bytes);
    }
    return table;
}

void GgufWriter::begin_data() {
    if (data_begun_) return;
    data_begun_ = true;
    std::string header(gguf::kMagic);
    encode(header, gguf::kVersion);
    encode(header, uint64_t{entries_.size()});
    encode(header, keys_);
    header += metadata_;
    header += tensor_table();
    uint64_t total = align(header.size());
    for (const Entry& entry : entries_)
        total += align(entry.bytes);
    // A full disk is better found now than after hours. File systems that cannot reserve say so.
    if (::fallocate(file_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(total)) != 0 &&
        errno == ENOSPC)
        fail_disk("needs " + std::to_string(total) + " bytes");
    put(std::as_bytes(std::span(header)));
    put_padding();
}

std::string_view GgufWriter::current() const {
    return current_ < entries_.size() ? std::string_view(entries_[current_].name) : "";
}

// Moves on when the current tensor is full.
void GgufWriter::advance() {
    if (filled_ < entries_[current_].bytes) return;
    put_padding();
    ++current_;
    filled_ = 0;
}

void GgufWriter::append_bytes(std::span<const std::byte> bytes) {
    begin_data();
    if (bytes.empty()) return;
    if (current_ == entries_.size()) fail("data follow the last tensor");
    const Entry& entry = entries_[current_];
    if (bytes.size() > entry.bytes - filled_)
        fail("tensor " + entry.name + " is given more than its " + std::to_string(entry.bytes) +
             " bytes");
    put(bytes);
    filled_ += bytes.size();
    advance();
}

void GgufWriter::append_floats(std::span<const float> rows) {
    begin_data();
    if (rows.empty()) return;
    if (current_ == entries_.size()) fail("data follow the last tensor");
    const Entry& entry = entries_[current_];
    const uint64_t cols = entry.shape[0];
    if (rows.size() % cols != 0) fail("tensor " + entry.name + " is given a part of a row");
    if (entry.scale_groups == 0 && !can_quantize(entry.type))
        fail("tensor " + entry.name + " has a type that floats are not converted to");
    const size_t index = current_;
    row_.resize(row_bytes(entry.type, cols));
    for (; !rows.empty(); rows = rows.subspan(cols)) {
        if (current_ != index) fail("tensor " + entry.name + " is given too many rows");
        const auto row = rows.first(cols);
        if (entry.scale_groups == 0) {
            quantize_row(entry.type, row, row_);
        } else {
            scales_.resize(scales_.size() + entry.scale_groups);
            quantize_i8c(row, {reinterpret_cast<int8_t*>(row_.data()), row_.size()},
                         std::span(scales_).last(entry.scale_groups));
        }
        append_bytes(row_);
    }
    if (entry.scale_groups == 0 || current_ == index) return;
    append_bytes(std::as_bytes(std::span(scales_)));
    scales_.clear();
}

void GgufWriter::put(std::span<const std::byte> bytes) {
    written_ += bytes.size();
    while (!bytes.empty()) {
        const size_t count = std::min(bytes.size(), kBufferBytes - buffer_.size());
        buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
        bytes = bytes.subspan(count);
        if (buffer_.size() == kBufferBytes) flush();
    }
}

void GgufWriter::put_padding() {
    constexpr std::byte kZeros[gguf::kDefaultAlignment] = {};
    put(std::span(kZeros).first(align(written_) - written_));
}

void GgufWriter::flush() {
    std::span<const std::byte> rest = buffer_;
    while (!rest.empty()) {
        const ssize_t count = ::write(file_, rest.data(), rest.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail_disk("cannot be written");
        rest = rest.subspan(static_cast<size_t>(count));
    }
    flushed_ += buffer_.size();
    buffer_.clear();
    keep_disk_busy();
}

// The disk begins at once with each part, and what it has not written stays small: otherwise it
// would idle while the first gigabytes gather in memory, and finish() would wait for all of them.
// Where it is not known how to do that, finish() waits.
void GgufWriter::keep_disk_busy() {
    constexpr uint64_t kPart = uint64_t{32} << 20;
    if (flushed_ - handed_over_ < kPart) return;
    ::sync_file_range(file_, static_cast<off_t>(handed_over_),
                      static_cast<off_t>(flushed_ - handed_over_), SYNC_FILE_RANGE_WRITE);
    if (handed_over_ > kPart) {
        ::sync_file_range(
            file_, 0, static_cast<off_t>(handed_over_ - kPart),
            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    }
    handed_over_ = flushed_;
}

void GgufWriter::finish() {
    begin_data();
    if (current_ != entries_.size()) fail("tensor " + entries_[current_].name + " is incomplete");
    flush();
    // Data before the name: a crash leaves the old file or the new one, never half of one.
    if (::fsync(file_) != 0) fail_disk("cannot be synced");
    if (::rename(partial_.c_str(), path_.c_str()) != 0) fail_disk("cannot be renamed");
    ::close(std::exchange(file_, -1));
    const size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    ::fsync(directory);
    ::close(directory);
}

// The element types of the format, each for values and arrays.
#define MOXIE_GGUF_TYPE(T)                                 \
    template void GgufWriter::add<T>(std::string_view, T); \
    template void GgufWriter::add_array<T>(std::string_view, std::span<const T>)
MOXIE_GGUF_TYPE(bool);
MOXIE_GGUF_TYPE(uint8_t);
MOXIE_GGUF_TYPE(int8_t);
MOXIE_GGUF_TYPE(uint16_t);
MOXIE_GGUF_TYPE(int16_t);
MOXIE_GGUF_TYPE(uint32_t);
MOXIE_GGUF_TYPE(int32_t);
MOXIE_GGUF_TYPE(uint64_t);
MOXIE_GGUF_TYPE(int64_t);
MOXIE_GGUF_TYPE(float);
MOXIE_GGUF_TYPE(double);
#undef MOXIE_GGUF_TYPE

}  // namespace core
