#include "core/base/error.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace core {
namespace {

std::atomic<void (*)() noexcept> abort_hook{nullptr};

}  // namespace

Error::Error(ErrorKind kind, std::string object, std::string problem, std::string advice)
    : kind_(kind),
      object_(std::move(object)),
      problem_(std::move(problem)),
      advice_(std::move(advice)) {
    text_ = object_.empty() ? problem_ : object_ + ": " + problem_;
    if (!advice_.empty()) text_ += ", " + advice_;
}

std::string Error::sentence() const {
    std::string text = text_;
    // A path or an option keeps its spelling; only a plain word gets its capital.
    if (object_.empty() && !text.empty())
        text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
    if (!text.empty() && text.back() != '.') text += '.';
    return text;
}

void set_abort_hook(void (*hook)() noexcept) {
    abort_hook.store(hook);
}

void check_failed(const char* condition, const char* file, int line) noexcept {
    if (auto* hook = abort_hook.load()) hook();
    char text[512];
    const int length =
        std::snprintf(text, sizeof text, "moxie: internal error: %s does not hold at %s:%d\n",
                      condition, file, line);
    if (length > 0) {
        const auto size = std::min(static_cast<size_t>(length), sizeof text - 1);
        [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text, size);
    }
    std::abort();
}

}  // namespace core
