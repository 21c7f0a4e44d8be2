// Tells when a theme's file has changed, so that what an editor saves shows at once.
#pragma once

#include <string>

namespace app {

class ThemeWatch {
  public:
    ThemeWatch() = default;
    ~ThemeWatch();
    ThemeWatch(const ThemeWatch&) = delete;
    ThemeWatch& operator=(const ThemeWatch&) = delete;

    // This file from now on; empty: none.
    void watch(const std::string& path);
    int fd() const { return fd_; }  // -1: nothing is watched
    // Takes what is there to read. True: it was about the file.
    bool changed();

  private:
    int fd_ = -1;
    std::string name_;  // in its folder
};

}  // namespace app
