#include "core/store/import.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void import(Bytes bytes) {
    static const MemoryFile file;
    file.write(bytes);
    expect(core::ErrorKind::storage, [&] {
        core::read_conversations(file.path(), [](const core::StoredConversation& stored) {
            const chat::Conversation& conversation = stored.conversation;
            if (conversation.empty()) __builtin_trap();
            size_t sum = 0;
            for (chat::TurnId id = 1; id <= conversation.size(); ++id)
                sum += conversation.turn(id).text.size();
            keep(sum);
        });
    });
}

}  // namespace fuzz
