// Whether the end of an answer rings: as ui.bell says, and where it wants that, only while the
// terminal has told that nobody looks at it.
#pragma once

#include <string_view>

#include "app/session/chat_session.h"

namespace app {

class Bell {
  public:
    // What the terminal reports; until then somebody looks.
    void set_focus(bool focused) { focused_ = focused; }
    // Whether this change of what the session does is worth it. `wish`: "off", "done" or
    // "done-unfocused".
    bool rings(std::string_view wish, Activity before, Activity now) const;

  private:
    bool focused_ = true;
};

}  // namespace app
