#include "app/chat/bell.h"

namespace app {
namespace {

// Who stops an answer is there.
bool answers(Activity activity) {
    return activity == Activity::prefill || activity == Activity::generating;
}

}  // namespace

bool Bell::rings(std::string_view wish, Activity before, Activity now) const {
    if (!answers(before) || answers(now) || now == Activity::stopping) return false;
    return wish == "done" || (wish == "done-unfocused" && !focused_);
}

}  // namespace app
