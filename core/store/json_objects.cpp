#include "core/store/json_objects.h"

#include "core/base/error.h"

namespace core {

JsonObjects::JsonObjects(const std::string& path) : path_(path), stream_(path, std::ios::binary) {
    if (!stream_)
        throw Error(ErrorKind::storage, path, "cannot be read", "check the name and permissions");
}

std::string JsonObjects::place() const {
    return path_ + ":" + std::to_string(begin_line_);
}

void JsonObjects::refuse(const std::string& problem) const {
    throw Error(ErrorKind::storage, path_ + ":" + std::to_string(line_), problem,
                "nothing was imported");
}

int JsonObjects::get() {
    const int c = stream_.get();
    if (c == '\n') ++line_;
    return c;
}

// After its opening quote.
void JsonObjects::take_string(std::string& text) {
    for (int c = get(); c != EOF; c = get()) {
        text += static_cast<char>(c);
        if (text.size() > kMaxBytes) refuse("an object has more than 64 MiB");
        if (c == '"') return;
        if (c != '\\') continue;
        if (c = get(); c == EOF) break;
        text += static_cast<char>(c);
    }
    refuse("ends inside a text");
}

std::optional<std::string> JsonObjects::next() {
    int c = get();
    // Between objects: an array around them, and what separates them.
    while (c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ',' || c == '[' || c == ']')
        c = get();
    if (c == EOF) return std::nullopt;
    if (c != '{') refuse("is no JSON with conversations");
    begin_line_ = line_;
    std::string text = "{";
    for (int depth = 1; depth > 0;) {
        if (c = get(); c == EOF) refuse("ends inside an object");
        text += static_cast<char>(c);
        if (text.size() > kMaxBytes) refuse("an object has more than 64 MiB");
        if (c == '"') take_string(text);
        if (c == '{' || c == '[') ++depth;
        if (c == '}' || c == ']') --depth;
        if (depth > kMaxDepth) refuse("is nested more than 128 deep");
    }
    return text;
}

}  // namespace core
