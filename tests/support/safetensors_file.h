// Writes safetensors files for tests, in the order given and without any check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace support {

struct TensorToSave {
    std::string name;
    std::string type;             // "BF16"
    std::vector<uint64_t> shape;  // the contiguous dimension last
    std::vector<std::byte> data;
};

// A header and what follows it.
inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

inline std::string safetensors_bytes(const std::vector<TensorToSave>& tensors) {
    std::string header = R"({"__metadata__":{"format":"pt"})";
    std::string data;
    for (const TensorToSave& tensor : tensors) {
        std::string shape;
        for (const uint64_t size : tensor.shape)
            shape += (shape.empty() ? "" : ",") + std::to_string(size);
        header += ",\"" + tensor.name + R"(":{"dtype":")" + tensor.type + R"(","shape":[)" + shape;
        header += R"(],"data_offsets":[)" + std::to_string(data.size()) + ",";
        data.append(reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size());
        header += std::to_string(data.size()) + "]}";
    }
    return safetensors_bytes(header + "}", data);
}

inline void write_text(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
}

}  // namespace support
