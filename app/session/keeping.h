// What of conversations goes to the disk beside their texts, and when: [kv] and [privacy]. What is
// not written by itself may still be with /kv save, but pages contain the ids of their tokens, so
// that none are kept where those are not.
#pragma once

#include <cstdint>

#include "app/settings/config.h"
#include "core/chat/conversation.h"

namespace app {

enum class KeepPages : uint8_t { after_answers, at_the_end, never };

struct Keeping {
    KeepPages pages = KeepPages::after_answers;
    bool token_ids = true;  // of answers

    // How the pages of an answer are kept.
    void apply_to(chat::Generate& request) const {
        request.persist = request.persist && token_ids;
        request.write_later = pages != KeepPages::after_answers;
    }
    // A turn as it is saved.
    void apply_to(chat::Turn& turn) const {
        if (token_ids) return;
        turn.tokens.clear();
        turn.text_offsets.clear();
    }
};

Keeping keeping_of(const Config& config);

}  // namespace app
