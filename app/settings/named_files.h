// Things of the user that have a name: files NAME.ENDING in folders of the configuration. The
// user's own folder comes first; what is there hides one of the same name behind it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace app {

struct NamedFile {
    std::string path;
    std::string text;
};

class NamedFiles {
  public:
    // `what`: the word for one of them, which is its command too ("preset"). `ending` with its dot.
    NamedFiles(std::string what, std::string ending, std::vector<std::string> folders);
    // In folders of that name below config_folder() and /etc/xdg/moxie.
    static NamedFiles of_user(const std::string& what, const std::string& ending,
                              const std::string& folder);

    // Sorted.
    std::vector<std::string> names() const;
    bool has(std::string_view name) const;
    // Throws core::Error(config) with the nearest name when there is none.
    NamedFile read(const std::string& name) const;
    // Into the first folder, replacing what is there; whole or not at all. Returns the path. Throws
    // core::Error(usage) for a name that cannot be a file's, Error(storage).
    std::string write(const std::string& name, std::string_view text) const;
    // Removes the user's own; returns its path. Throws core::Error(config, storage).
    std::string remove(const std::string& name) const;

  private:
    std::string path_in(const std::string& folder, std::string_view name) const;
    void check_name(const std::string& name) const;
    [[noreturn]] void refuse_unknown(const std::string& name) const;

    std::string what_;
    std::string ending_;
    std::vector<std::string> folders_;
};

}  // namespace app
