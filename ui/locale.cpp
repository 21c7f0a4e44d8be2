#include "ui/locale.h"

#include <langinfo.h>

#include <clocale>
#include <cstdlib>
#include <cstring>

namespace ui {
namespace {

constexpr const char* kFallback = "C.UTF-8";

bool is_utf8() {
    return std::strcmp(::nl_langinfo(CODESET), "UTF-8") == 0;  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace

std::string use_utf8_locale() {
    // NOLINTBEGIN(concurrency-mt-unsafe): there is no other thread yet
    std::setlocale(LC_CTYPE, "");
    if (is_utf8()) return {};
    const std::string name = std::setlocale(LC_CTYPE, nullptr);
    std::setlocale(LC_CTYPE, kFallback);
    if (!is_utf8()) return "Locale is \"" + name + "\"; showing ASCII only. Set LANG=C.UTF-8.";
    // The strongest of the variables, whichever of them said otherwise.
    ::setenv("LC_ALL", kFallback, 1);
    // NOLINTEND(concurrency-mt-unsafe)
    return "Locale is \"" + name + "\"; using " + kFallback +
           ". If you see wrong characters, set LANG to a UTF-8 locale.";
}

}  // namespace ui
