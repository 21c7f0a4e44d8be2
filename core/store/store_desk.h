// What the store does with its database once that is open: to every request its event. Used by the
// store's thread.
#pragma once

#include <cstdint>
#include <map>

#include "core/store/database.h"
#include "core/store/records.h"
#include "core/store/store.h"

namespace core {

class StoreDesk {
  public:
    // `database` may be null: nothing is there to read. It and the options must outlive the desk.
    StoreDesk(Database* database, StoreAccess access, const StoreOptions& options)
        : database_(database), access_(access), options_(options) {}

    // Never throws: what goes wrong is a StoreFailed. REQUIRES: no CloseStore.
    StoreEvent answer(const StoreRequest& request);

  private:
    StoreEvent on(const CloseStore& request);
    StoreEvent on(const SaveTurns& request);
    StoreEvent on(const FlagTurn& request);
    StoreEvent on(const SetBookmark& request);
    StoreEvent on(const KeepLine& request);
    StoreEvent on(const ReadLine& request);
    StoreEvent on(const LookForPages& request);
    StoreEvent on(const ChangeConversation& request);
    StoreEvent on(const LoadConversation& request);
    StoreEvent on(const ListConversations& request);
    StoreEvent on(const SearchTurns& request);
    StoreEvent on(const RemoveConversation& request);
    StoreEvent on(const ExportConversation& request);
    StoreEvent on(const ImportFile& request);
    StoreEvent on(const CheckStore& request);

    // Throw DatabaseError where there is none, or where it may only be read.
    Database& database();
    Database& writable();
    // The row of a conversation that was saved or loaded under this name. Throws DatabaseError.
    int64_t row_of(ConversationRef conversation) const;

    Database* const database_;
    const StoreAccess access_;
    const StoreOptions& options_;
    std::map<ConversationRef, int64_t> rows_;
};

// For ever: nothing of them stays in any file, nor in the KV cache where `forget` reaches it.
void purge_conversations(Database& database, const std::vector<int64_t>& rows,
                         const ForgetLines& forget);
// Those that were deleted longer ago than kTrashDays.
void empty_trash(Database& database, const ForgetLines& forget);

}  // namespace core
