// The prompt of a one-shot answer: arguments, files, standard input.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "app/oneshot/oneshot.h"
#include "core/base/error.h"
#include "core/chat/attachment.h"

namespace app {
namespace {

// Reads until the end of standard input. Throws Error(storage).
std::string read_input() {
    std::string text;
    std::array<char, 65536> buffer{};
    while (true) {
        const ssize_t count = ::read(STDIN_FILENO, buffer.data(), buffer.size());
        if (count == 0) return text;
        if (count > 0)
            text.append(buffer.data(), static_cast<size_t>(count));
        else if (errno != EINTR)
            throw core::Error(core::ErrorKind::storage, "standard input",
                              "cannot be read: " + std::generic_category().message(errno));
    }
}

std::string read_file(const std::string& path) {
    struct stat status = {};
    const bool folder = ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    std::ifstream in(path, std::ios::binary);
    const int reason = errno;
    if (folder || !in)
        throw core::Error(
            core::ErrorKind::usage, path,
            folder ? "is a folder" : "cannot be read: " + std::generic_category().message(reason),
            "-f takes text files");
    std::string text{std::istreambuf_iterator<char>(in), {}};
    if (text.find('\0') != std::string::npos)
        throw core::Error(core::ErrorKind::usage, path, "is no text file", "-f takes text files");
    return text;
}

struct Material {
    std::string name;  // of a file
    std::string text;
};

}  // namespace

// Beside a question, what comes from files and pipes is its material: fenced.
std::string complete_prompt(const OneShotOptions& options) {
    std::vector<Material> materials;
    for (const std::string& path : options.files)
        materials.push_back({.name = path, .text = read_file(path)});
    if (options.read_input) materials.push_back({.name = {}, .text = read_input()});
    std::string prompt = options.prompt;
    if (options.raw) {
        for (const Material& material : materials)
            prompt += material.text;
    } else {
        for (Material& material : materials)
            while (material.text.ends_with('\n'))
                material.text.pop_back();
        std::erase_if(materials, [](const Material& m) { return m.text.empty(); });
        const bool alone = prompt.empty() && materials.size() == 1;
        for (const Material& material : materials) {
            if (alone) {
                prompt = material.text;
                break;
            }
            prompt += (prompt.empty() ? "" : "\n\n") +
                      (material.name.empty() ? "" : material.name + ":\n") +
                      chat::fenced(material.text);
        }
    }
    if (prompt.empty())
        throw core::Error(core::ErrorKind::usage, "", "there is no prompt",
                          "give one as an argument or on standard input, or see moxie --help");
    return prompt;
}

}  // namespace app
