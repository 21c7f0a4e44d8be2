#include "core/chat/attachment.h"

#include <algorithm>

namespace chat {

std::string label_of(const Attachment& file) {
    if (file.first == 0) return file.path;
    std::string label = file.path + ":" + std::to_string(file.first);
    if (file.last != file.first) label += "-" + std::to_string(file.last);
    return label;
}

uint32_t lines_of(const Attachment& file) {
    if (file.text.empty()) return 0;
    return static_cast<uint32_t>(std::count(file.text.begin(), file.text.end(), '\n')) + 1;
}

std::string text_with_files(std::string_view text, const Attachments& files) {
    std::string whole(text);
    for (const auto& file : files) {
        if (!whole.empty()) whole += "\n\n";
        whole += label_of(*file) + ":\n" + (file->code ? fenced(file->text) : file->text);
    }
    return whole;
}

std::string fenced(std::string_view text) {
    size_t longest = 2;
    for (size_t at = text.find('`'); at != std::string_view::npos; at = text.find('`', at)) {
        const size_t end = std::min(text.find_first_not_of('`', at), text.size());
        longest = std::max(longest, end - at);
        at = end;
    }
    const std::string fence(longest + 1, '`');
    return fence + "\n" + std::string(text) + "\n" + fence;
}

}  // namespace chat
