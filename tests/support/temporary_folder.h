// A folder for the files of one test. In a header, so that tests of the lower layers need not link
// the rest of tests/support.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/base/token_id.h"

namespace support {

// In memory where possible; gone with the object.
class TemporaryFolder {
  public:
    TemporaryFolder()
        : TemporaryFolder(std::filesystem::is_directory(kMemory)
                              ? std::filesystem::path(kMemory)
                              : std::filesystem::temp_directory_path()) {}
    explicit TemporaryFolder(const std::filesystem::path& parent)
        : path_(parent / "moxie-test-XXXXXX") {
        if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no temporary folder");
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::string& path() const { return path_; }

    // Regular files below it, sorted.
    std::vector<std::string> files() const {
        std::vector<std::string> files;
        for (const auto& entry : std::filesystem::recursive_directory_iterator(path_))
            if (entry.is_regular_file()) files.push_back(entry.path());
        std::ranges::sort(files);
        return files;
    }

  private:
    static constexpr const char* kMemory = "/dev/shm";
    std::string path_;
};

inline std::string content_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline std::vector<std::string> contents_of(const TemporaryFolder& folder) {
    std::vector<std::string> contents;
    for (const std::string& file : folder.files())
        contents.push_back(content_of(file));
    return contents;
}

// True when the bytes of these ids follow each other in one of the files.
inline bool holds_phrase(const std::vector<std::string>& contents,
                         std::span<const core::TokenId> phrase) {
    const auto bytes = std::as_bytes(phrase);
    const std::string_view wanted(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return std::ranges::any_of(contents, [&](const std::string& content) {
        return content.find(wanted) != std::string::npos;
    });
}
inline bool holds_phrase(const TemporaryFolder& folder, std::span<const core::TokenId> phrase) {
    return holds_phrase(contents_of(folder), phrase);
}

}  // namespace support
