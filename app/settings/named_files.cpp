#include "app/settings/named_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>
#include <utility>

#include "app/settings/nearest.h"
#include "core/base/error.h"
#include "core/base/paths.h"
#include "core/base/utf8.h"

namespace app {

namespace fs = std::filesystem;

NamedFiles::NamedFiles(std::string what, std::string ending, std::vector<std::string> folders)
    : what_(std::move(what)), ending_(std::move(ending)), folders_(std::move(folders)) {}

NamedFiles NamedFiles::of_user(const std::string& what, const std::string& ending,
                               const std::string& folder) {
    return NamedFiles(what, ending,
                      {core::config_folder() + "/" + folder, "/etc/xdg/moxie/" + folder});
}

std::string NamedFiles::path_in(const std::string& folder, std::string_view name) const {
    return folder + "/" + std::string(name) + ending_;
}

void NamedFiles::check_name(const std::string& name) const {
    if (name.empty() || name.front() == '.' || name.find('/') != std::string::npos ||
        core::sanitize(name) != name)
        throw core::Error(core::ErrorKind::usage, what_,
                          "\"" + core::sanitize(name) + "\" is no name for one",
                          "use letters, digits and hyphens");
}

void NamedFiles::refuse_unknown(const std::string& name) const {
    const std::vector<std::string> known = names();
    const std::vector<std::string_view> views(known.begin(), known.end());
    std::string advice = "/" + what_ + " save NAME makes one";
    if (const auto meant = similar(name, views)) {
        advice = "did you mean " + std::string(*meant);
    } else if (!known.empty()) {
        advice = "there are:";
        for (const std::string& other : known)
            advice += " " + core::sanitize(other);
    }
    throw core::Error(core::ErrorKind::config, name, "no such " + what_, advice);
}

std::vector<std::string> NamedFiles::names() const {
    std::set<std::string> found;
    for (const std::string& folder : folders_) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(folder, error))
            if (entry.path().extension() == ending_) found.insert(entry.path().stem());
    }
    return {found.begin(), found.end()};
}

bool NamedFiles::has(std::string_view name) const {
    if (name.empty() || name.find('/') != std::string_view::npos) return false;
    std::error_code ignored;
    return std::ranges::any_of(folders_, [&](const std::string& folder) {
        return fs::is_regular_file(path_in(folder, name), ignored);
    });
}

NamedFile NamedFiles::read(const std::string& name) const {
    check_name(name);
    for (const std::string& folder : folders_) {
        std::string path = path_in(folder, name);
        std::ifstream in(path, std::ios::binary);
        if (in) return {.path = path, .text = {std::istreambuf_iterator<char>(in), {}}};
    }
    refuse_unknown(name);
}

std::string NamedFiles::write(const std::string& name, std::string_view text) const {
    check_name(name);
    core::make_private_folder(folders_.front());
    std::string path = path_in(folders_.front(), name);
    // Written beside it and renamed.
    const std::string written = path + ".new";
    const int fd = ::open(written.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const bool whole =
        fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int error = errno;
    const bool closed = fd < 0 || ::close(fd) == 0;
    if (!whole || !closed || std::rename(written.c_str(), path.c_str()) != 0)
        throw core::Error(
            core::ErrorKind::storage, path,
            "cannot be written: " + std::generic_category().message(whole ? errno : error));
    return path;
}

std::string NamedFiles::remove(const std::string& name) const {
    check_name(name);
    std::string path = path_in(folders_.front(), name);
    std::error_code error;
    if (fs::remove(path, error)) return path;
    if (error)
        throw core::Error(core::ErrorKind::storage, path, "cannot be removed: " + error.message());
    if (!has(name)) refuse_unknown(name);
    throw core::Error(core::ErrorKind::storage, name, "is not yours to remove",
                      "it is one of the system's; a " + what_ + " of the same name hides it");
}

}  // namespace app
