// Writes pickles as Python 3.11 with numpy 1.24 writes the tensors of a Grok-1 checkpoint: the same
// opcodes, memo numbers and frames, so that the files have the published sizes to the byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

namespace support {

struct ArrayToPickle {
    enum class Type : uint8_t { f32, i8, bf16 };
    Type type = Type::f32;
    std::vector<uint64_t> shape;  // C order
    std::vector<std::byte> data;  // empty: a hole of the right size
};

// A file as text and holes, so that one of the true size costs nothing.
class PickleFile {
  public:
    explicit PickleFile(const ArrayToPickle& array);
    PickleFile(const ArrayToPickle& weight, const ArrayToPickle& scales);

    uint64_t size() const;
    // REQUIRES: the holes fit into memory.
    std::string bytes() const;
    // The holes become holes of the file.
    void write(const std::string& path) const;

  private:
    struct Part {
        std::string text;
        uint64_t hole = 0;  // behind the text
    };

    void begin();
    void finish();
    void put(char opcode) { frame_ += opcode; }
    template <class T>
    void put_number(T value);
    void put_text(const char* text);
    void put_int(uint64_t value);
    void memoize(int* number = nullptr);
    void get(int number);
    // The value with this memo number, or a new one that `make` writes.
    template <class Make>
    void once(int& number, Make make);
    void put_global(const char* module, const char* name, int& number);
    void put_array(const ArrayToPickle& array);
    void put_dtype(ArrayToPickle::Type type);
    void put_payload(const ArrayToPickle& array);
    void close_frame();

    std::vector<Part> parts_;
    std::string frame_;  // what the open frame holds
    int memo_ = 0;
    int reconstruct_ = -1, numpy_ = -1, ndarray_ = -1, b_ = -1, dtype_ = -1, bfloat16_ = -1;
};

namespace pickles {

inline constexpr uint64_t kFrameTarget = 64 * 1024;
inline constexpr size_t kSmallestFrame = 4;

template <class T>
std::string little_endian(T value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
}

inline uint64_t payload_bytes(const ArrayToPickle& array) {
    const uint64_t element = array.type == ArrayToPickle::Type::f32    ? 4
                             : array.type == ArrayToPickle::Type::bf16 ? 2
                                                                       : 1;
    return std::accumulate(array.shape.begin(), array.shape.end(), element, std::multiplies<>());
}

}  // namespace pickles

inline PickleFile::PickleFile(const ArrayToPickle& array) {
    begin();
    put_array(array);
    finish();
}

inline PickleFile::PickleFile(const ArrayToPickle& weight, const ArrayToPickle& scales) {
    begin();
    put_text("__main__");
    put_text("QuantizedWeight8bit");
    put('\x93');
    memoize();
    put(')');
    put('\x81');
    memoize();
    put('}');
    memoize();
    put('(');
    put_text("weight");
    put_array(weight);
    put_text("scales");
    put_array(scales);
    put('u');
    put('b');
    finish();
}

inline void PickleFile::begin() {
    parts_.push_back({std::string("\x80\x04", 2)});
}

inline void PickleFile::finish() {
    put('.');
    close_frame();
}

template <class T>
inline void PickleFile::put_number(T value) {
    frame_ += pickles::little_endian(value);
}

inline void PickleFile::put_text(const char* text) {
    const std::string value = text;
    put('\x8c');
    put_number(static_cast<uint8_t>(value.size()));
    frame_ += value;
    memoize();
}

inline void PickleFile::put_int(uint64_t value) {
    if (value < 0x100) {
        put('K');
        put_number(static_cast<uint8_t>(value));
    } else if (value < 0x10000) {
        put('M');
        put_number(static_cast<uint16_t>(value));
    } else {
        put('J');
        put_number(static_cast<uint32_t>(value));
    }
}

inline void PickleFile::memoize(int* number) {
    put('\x94');
    if (number != nullptr) *number = memo_;
    ++memo_;
}

inline void PickleFile::get(int number) {
    put('h');
    put_number(static_cast<uint8_t>(number));
}

template <class Make>
inline void PickleFile::once(int& number, Make make) {
    if (number >= 0) return get(number);
    make();
}

inline void PickleFile::put_global(const char* module, const char* name, int& number) {
    once(number, [&] {
        // "numpy" is the module of two globals and is written once.
        if (std::string(module) == "numpy") {
            once(numpy_, [&] {
                put_text(module);
                numpy_ = memo_ - 1;
            });
        } else {
            put_text(module);
        }
        put_text(name);
        put('\x93');
        memoize(&number);
    });
}

inline void PickleFile::put_array(const ArrayToPickle& array) {
    put_global("numpy.core.multiarray", "_reconstruct", reconstruct_);
    put_global("numpy", "ndarray", ndarray_);
    put_int(0);
    put('\x85');
    memoize();
    once(b_, [&] {
        frame_ += std::string("C\x01") + "b";
        memoize(&b_);
    });
    put('\x87');
    memoize();
    put('R');
    memoize();
    put('(');
    put_int(1);
    for (const uint64_t size : array.shape)
        put_int(size);
    put(static_cast<char>('\x84' + static_cast<int>(array.shape.size())));
    memoize();
    put_dtype(array.type);
    put('\x89');
    put_payload(array);
    memoize();
    put('t');
    memoize();
    put('b');
}

inline void PickleFile::put_dtype(ArrayToPickle::Type type) {
    const bool bf16 = type == ArrayToPickle::Type::bf16;
    put_global("numpy", "dtype", dtype_);
    if (bf16)
        put_global("ml_dtypes", "bfloat16", bfloat16_);
    else
        put_text(type == ArrayToPickle::Type::f32 ? "f4" : "i1");
    frame_ += "\x89\x88\x87";
    memoize();
    put('R');
    memoize();
    put('(');
    put_int(3);
    put_text(type == ArrayToPickle::Type::i8 ? "|" : "<");
    frame_ += "NNN";
    if (bf16)
        frame_ += "K\x02K\x02Kp";
    else
        frame_ += std::string("J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00", 12);
    put('t');
    memoize();
    put('b');
}

// Large payloads lie between frames.
inline void PickleFile::put_payload(const ArrayToPickle& array) {
    const uint64_t bytes = pickles::payload_bytes(array);
    std::string header;
    if (bytes < 0x100)
        header = "C" + pickles::little_endian(static_cast<uint8_t>(bytes));
    else if (bytes <= 0xffffffff)
        header = "B" + pickles::little_endian(static_cast<uint32_t>(bytes));
    else
        header = "\x8e" + pickles::little_endian(bytes);
    const std::string data(reinterpret_cast<const char*>(array.data.data()), array.data.size());
    if (bytes < pickles::kFrameTarget) {
        frame_ += header + (data.empty() ? std::string(bytes, '\0') : data);
        return;
    }
    close_frame();
    parts_.back().text += header + data;
    parts_.back().hole = data.empty() ? bytes : 0;
    parts_.push_back({});
}

inline void PickleFile::close_frame() {
    std::string& text = parts_.back().text;
    if (frame_.size() >= pickles::kSmallestFrame)
        text += "\x95" + pickles::little_endian(uint64_t{frame_.size()});
    text += frame_;
    frame_.clear();
}

inline uint64_t PickleFile::size() const {
    uint64_t size = 0;
    for (const Part& part : parts_)
        size += part.text.size() + part.hole;
    return size;
}

inline std::string PickleFile::bytes() const {
    std::string all;
    for (const Part& part : parts_)
        all += part.text + std::string(part.hole, '\0');
    return all;
}

inline void PickleFile::write(const std::string& path) const {
    std::ofstream out(path, std::ios::binary);
    for (const Part& part : parts_) {
        out << part.text;
        out.seekp(static_cast<std::streamoff>(part.hole), std::ios::cur);
    }
}

}  // namespace support
