#include "app/chat/personas.h"

#include <filesystem>
#include <system_error>

#include "app/chat/attachments.h"

namespace app {

NamedFiles personas() {
    return NamedFiles::of_user("persona", ".md", "personas");
}

NamedFiles prompts() {
    return NamedFiles::of_user("prompt", ".md", "prompts");
}

std::string text_of(const NamedFile& file) {
    return file.text.substr(0, file.text.find_last_not_of('\n') + 1);  // npos + 1 is 0
}

std::string instructions_of(const std::string& words) {
    if (words.starts_with('@')) {
        const std::string name = words.substr(1);
        std::error_code ignored;
        const NamedFiles known = personas();
        if (!std::filesystem::exists(name, ignored) && known.has(name))
            return text_of(known.read(name));
    }
    return text_or_file(words);
}

std::vector<std::string> complete_instructions(std::string_view begun) {
    std::vector<std::string> found;
    if (!begun.starts_with('@')) return found;
    for (const std::string& name : personas().names())
        if (name.starts_with(begun.substr(1))) found.push_back("@" + name);
    for (std::string& path : complete_mention(begun))
        found.push_back(std::move(path));
    return found;
}

}  // namespace app
