// A read-only mapped file that survives the file shrinking under it.
//
// Reading a mapped page that lies beyond the end of its file raises SIGBUS, which ends a program.
// A handler installed here replaces such a page by zeros and notes the damage, so that whoever
// reads can finish, ask damaged(), and end in a sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace core {

// Installs the handler if it is not yet installed; every MappedFile does. A SIGBUS at an address
// outside all mapped files goes on to the handler that was there before. Who installs another
// handler for SIGBUS later must do the same with ours.
void install_sigbus_guard();

class MappedFile {
  public:
    // Maps a regular file. Throws Error(model_not_found) when it does not exist or cannot be read,
    // Error(memory) when it cannot be mapped.
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const std::string& path() const { return path_; }

    // Page aligned, valid while this object lives. Any thread may read.
    std::span<const std::byte> bytes() const { return bytes_; }

    // True when the file is or was shorter than the mapping, so that zeros may have been read in
    // place of contents. To be asked after reading. Any thread.
    bool damaged() const;

    // Tells the kernel that these bytes are not needed again soon. Whole pages inside the range
    // leave this process; reading them again is allowed and reads the file again. Any thread.
    // REQUIRES: range lies in bytes().
    void release(std::span<const std::byte> range) const;

    // Tells the kernel that these bytes are needed soon: it begins to read them and this returns.
    // Any thread. REQUIRES: range lies in bytes().
    void prefetch(std::span<const std::byte> range) const;

  private:
    std::string path_;
    int file_ = -1;
    std::span<const std::byte> bytes_;
    int slot_ = -1;  // of the SIGBUS registry
};

}  // namespace core
