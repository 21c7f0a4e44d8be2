#include "app/chat/theme_watch.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

namespace app {

ThemeWatch::~ThemeWatch() {
    if (fd_ >= 0) ::close(fd_);
}

// The folder is watched: editors put a new file in the place of the old one. Where that is not
// possible, the theme is read again when it is asked for.
void ThemeWatch::watch(const std::string& path) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    if (path.empty()) return;
    const std::filesystem::path file(path);
    const std::string folder = file.has_parent_path() ? file.parent_path().string() : ".";
    name_ = file.filename().string();
    fd_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (fd_ >= 0 && ::inotify_add_watch(fd_, folder.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
        ::close(fd_);
        fd_ = -1;
    }
}

bool ThemeWatch::changed() {
    bool ours = false;
    alignas(inotify_event) std::array<char, 4096> buffer = {};
    ssize_t count = 0;
    while ((count = ::read(fd_, buffer.data(), buffer.size())) > 0) {
        for (ssize_t at = 0; at < count;) {
            inotify_event event = {};
            std::memcpy(&event, buffer.data() + at, sizeof event);
            const char* name = buffer.data() + at + sizeof event;
            ours = ours || (event.len > 0 && name_ == name);
            at += static_cast<ssize_t>(sizeof event + event.len);
        }
    }
    return ours;
}

}  // namespace app
