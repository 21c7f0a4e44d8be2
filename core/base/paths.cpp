#include "core/base/paths.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/base/error.h"

namespace core {
namespace {

// The variable's value if it is an absolute path, else empty.
std::string absolute_from_environment(const char* name) {
    // getenv races with setenv only, which moxie never calls after its threads have started.
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    return value != nullptr && value[0] == '/' ? value : "";
}

std::string home_folder() {
    std::string home = absolute_from_environment("HOME");
    if (!home.empty()) return home;
    std::vector<char> buffer(16384);
    passwd entry = {};
    passwd* found = nullptr;
    ::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found);
    if (found != nullptr && found->pw_dir != nullptr && found->pw_dir[0] == '/')
        return found->pw_dir;
    throw Error(ErrorKind::storage, "HOME", "is not set", "set it to the path of a folder");
}

std::string xdg_folder(const char* variable, std::string_view below_home) {
    std::string base = absolute_from_environment(variable);
    if (base.empty()) base = home_folder() + "/" + std::string(below_home);
    while (base.size() > 1 && base.back() == '/')
        base.pop_back();
    return base + "/moxie";
}

}  // namespace

std::string config_folder() {
    return xdg_folder("XDG_CONFIG_HOME", ".config");
}

std::string data_folder() {
    return xdg_folder("XDG_DATA_HOME", ".local/share");
}

std::string state_folder() {
    return xdg_folder("XDG_STATE_HOME", ".local/state");
}

std::string cache_folder() {
    return xdg_folder("XDG_CACHE_HOME", ".cache");
}

std::string runtime_folder() {
    const bool has_session = !absolute_from_environment("XDG_RUNTIME_DIR").empty();
    return has_session ? xdg_folder("XDG_RUNTIME_DIR", "") : state_folder() + "/run";
}

const std::string& make_private_folder(const std::string& path) {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
        const std::string folder = path.substr(0, end);
        if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
            // A parent on a read-only file system or without permission may still exist.
            const int error = errno;
            struct stat status = {};
            if (::stat(folder.c_str(), &status) != 0)
                throw Error(ErrorKind::storage, folder,
                            "cannot be created: " + std::generic_category().message(error));
        }
        if (end == std::string::npos) break;
    }
    struct stat status = {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
        throw Error(ErrorKind::storage, path, "is not a folder", "move it out of the way");
    return path;
}

}  // namespace core
