#include "core/store/store_desk.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <iterator>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "core/base/log.h"
#include "core/base/units.h"
#include "core/store/formats.h"
#include "core/store/import.h"
#include "core/store/kept_lines.h"
#include "core/store/schema.h"
#include "core/store/shelf.h"

namespace core {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kInMemory = " The chat continues in memory.";

// The folder at which the file system begins that `path` is on.
std::string mount_point(fs::path path) {
    struct stat here = {};
    while (::stat(path.c_str(), &here) != 0 && path.has_relative_path())
        path = path.parent_path();
    while (path.has_relative_path()) {
        struct stat above = {};
        if (::stat(path.parent_path().c_str(), &above) != 0 || above.st_dev != here.st_dev) break;
        path = path.parent_path();
    }
    return path.string();
}

std::string free_space(const std::string& path) {
    struct statvfs status = {};
    if (::statvfs(path.c_str(), &status) != 0) return "unknown";
    return human_bytes(uint64_t{status.f_bavail} * status.f_frsize);
}

// What a failed save is to the user (ux.md 3.15).
std::string save_sentence(const DatabaseError& error, const std::string& folder) {
    switch (error.trouble()) {
        case StoreTrouble::disk_full: {
            const std::string mount = mount_point(folder);
            return "Cannot save: disk full (" + mount + ", " + free_space(mount) + " free)." +
                   std::string(kInMemory) + " Once there is room, the next message saves it all.";
        }
        case StoreTrouble::read_only:
            return "Cannot save: " + folder + " is read-only." + std::string(kInMemory);
        default: return "Cannot save: " + error.sentence() + std::string(kInMemory);
    }
}

StoreRequestId id_of(const StoreRequest& request) {
    return std::visit(
        [](const auto& r) -> StoreRequestId {
            if constexpr (std::is_same_v<std::decay_t<decltype(r)>, CloseStore>)
                return 0;
            else
                return r.id;
        },
        request);
}

}  // namespace

Database& StoreDesk::database() {
    if (database_ == nullptr)
        throw DatabaseError(StoreTrouble::not_found, "", "there are no saved chats here");
    return *database_;
}

int64_t StoreDesk::row_of(ConversationRef conversation) const {
    const auto known = rows_.find(conversation);
    if (known == rows_.end())
        throw DatabaseError(StoreTrouble::not_found, "", "the conversation is not saved");
    return known->second;
}

Database& StoreDesk::writable() {
    if (access_ != StoreAccess::writable)
        throw DatabaseError(StoreTrouble::read_only, options_.folder, "is not open for writing");
    return *database_;
}

StoreEvent StoreDesk::answer(const StoreRequest& request) {
    const auto failed = [&request](StoreTrouble trouble, std::string sentence) {
        log_warning(sentence);
        return StoreFailed{
            .id = id_of(request), .trouble = trouble, .sentence = std::move(sentence)};
    };
    try {
        return std::visit([this](const auto& r) { return on(r); }, request);
    } catch (const DatabaseError& error) {
        const bool saving = std::holds_alternative<SaveTurns>(request);
        return failed(error.trouble(),
                      saving ? save_sentence(error, options_.folder) : error.sentence());
    } catch (const Error& error) {
        return failed(StoreTrouble::damaged, error.sentence());
    } catch (const std::exception& error) {
        return failed(StoreTrouble::other, std::string("Cannot save: ") + error.what() + ".");
    }
}

StoreEvent StoreDesk::on(const CloseStore& /*request*/) {
    MOXIE_CHECK(false);
    return StoreFailed{};
}

StoreEvent StoreDesk::on(const SaveTurns& request) {
    Database& database = writable();
    // FULL waits for the disk at every commit, NORMAL at checkpoints only.
    database.run(request.durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    if (request.durable) std::this_thread::sleep_for(options_.sync_time);
    Shelf shelf(database);
    Transaction transaction(database);
    const auto known = rows_.find(request.conversation);
    const int64_t row = known != rows_.end() ? known->second : shelf.create(request.head);
    shelf.save(row, request.head, request.turns);
    std::string id = shelf.short_id(row);
    transaction.commit();
    rows_[request.conversation] = row;
    return Saved{
        .id = request.id, .conversation = request.conversation, .conversation_id = std::move(id)};
}

StoreEvent StoreDesk::on(const FlagTurn& request) {
    Database& database = writable();
    const int64_t row = row_of(request.conversation);
    Transaction transaction(database);
    Shelf(database).set_flags(row, request.turn, request.flags);
    transaction.commit();
    return Changed{.id = request.id};
}

StoreEvent StoreDesk::on(const SetBookmark& request) {
    Database& database = writable();
    const int64_t row = row_of(request.conversation);
    Transaction transaction(database);
    Shelf(database).set_bookmark(row, request.key, request.turn);
    transaction.commit();
    return Changed{.id = request.id};
}

StoreEvent StoreDesk::on(const KeepLine& request) {
    Database& database = writable();
    const int64_t row = row_of(request.conversation);
    Transaction transaction(database);
    KeptLines(database).keep(row, request.answer, request.line);
    transaction.commit();
    return Changed{.id = request.id};
}

StoreEvent StoreDesk::on(const ReadLine& request) {
    Shelf shelf(database());
    const StoredConversation stored = shelf.load(shelf.exact(request.conversation));
    std::vector<chat::TurnId> ends = {stored.head.tip};
    if (request.all) ends = stored.conversation.leaves();
    LineRead read{.id = request.id};
    for (const chat::TurnId end : ends)
        read.lines.push_back(stored.conversation.messages(end, request.model));
    return read;
}

StoreEvent StoreDesk::on(const LookForPages& request) {
    if (!options_.find_pages) return PagesFound{.id = request.id};
    Shelf shelf(database());
    std::vector<ConversationHead> heads = {shelf.load(shelf.exact(request.conversation)).head};
    KeptLines(database()).add_to(heads);
    return PagesFound{.id = request.id, .pages = options_.find_pages(heads.front())};
}

StoreEvent StoreDesk::on(const ChangeConversation& request) {
    Shelf shelf(writable());
    Transaction transaction(*database_);
    shelf.change(shelf.exact(request.conversation), request);
    transaction.commit();
    return Changed{.id = request.id};
}

StoreEvent StoreDesk::on(const LoadConversation& request) {
    Shelf shelf(database());
    const int64_t row = shelf.find(request.prefix);
    Loaded loaded{.id = request.id, .conversation = shelf.load(row)};
    rows_[request.conversation] = row;
    return loaded;
}

StoreEvent StoreDesk::on(const ListConversations& request) {
    Listed listed{.id = request.id, .conversations = Shelf(database()).list(request)};
    if (request.with_lines) KeptLines(database()).add_to(listed.conversations);
    return listed;
}

StoreEvent StoreDesk::on(const SearchTurns& request) {
    return Found{.id = request.id, .hits = Shelf(database()).search(request)};
}

StoreEvent StoreDesk::on(const RemoveConversation& request) {
    Shelf shelf(writable());
    const bool restore = request.how == Removal::restore;
    const int64_t row = restore && request.conversation.empty() ? shelf.last_deleted()
                        : request.how == Removal::remove        ? shelf.find(request.conversation)
                                                                : shelf.exact(request.conversation);
    Removed removed{.id = request.id, .conversation = shelf.short_id(row)};
    if (request.how == Removal::purge) {
        purge_conversations(*database_, {row}, options_.forget_lines);
        std::erase_if(rows_, [&](const auto& entry) { return entry.second == row; });
    } else {
        Transaction transaction(*database_);
        shelf.set_deleted(row, !restore);
        transaction.commit();
    }
    return removed;
}

StoreEvent StoreDesk::on(const ExportConversation& request) {
    const FileFormat format = file_format_of(request.path);
    StoredConversation saved;
    if (!request.conversation) {
        Shelf shelf(database());
        saved = shelf.load(shelf.exact(request.stored));
    }
    const std::string text = conversation_text(request.conversation ? *request.conversation : saved,
                                               format, request.whole_tree);
    write_new_file(request.path, text);
    return Exported{.id = request.id, .path = request.path, .bytes = text.size()};
}

StoreEvent StoreDesk::on(const ImportFile& request) {
    Shelf shelf(writable());
    database_->run("PRAGMA synchronous = FULL");
    Transaction transaction(*database_);
    Imported imported{.id = request.id};
    read_conversations(request.path, [&](const StoredConversation& stored) {
        imported.conversations.push_back(shelf.head(shelf.create_copy(stored)));
        imported.conversations.back().turns = stored.conversation.size();
    });
    transaction.commit();
    return imported;
}

StoreEvent StoreDesk::on(const CheckStore& request) {
    Database& database = this->database();
    Checked checked{.id = request.id,
                    .conversations =
                        static_cast<uint64_t>(database.number("SELECT count(*) FROM conversation")),
                    .turns = static_cast<uint64_t>(database.number("SELECT count(*) FROM node"))};
    if (const std::string text = database.text("PRAGMA integrity_check"); text != "ok")
        checked.problems.push_back(text);
    if (const int64_t lost = database.number("SELECT count(*) FROM pragma_foreign_key_check"))
        checked.problems.push_back(std::to_string(lost) + " rows refer to rows that are not there");
    // A text that still grows gets into the index when it is finished.
    const bool growing = database.number("SELECT count(*) FROM part WHERE searchable = 0") > 0;
    if (access_ != StoreAccess::writable || growing || !checked.problems.empty()) return checked;
    database.run("REINDEX; INSERT INTO node_fts (node_fts) VALUES ('rebuild')");
    checked.index_made_anew = true;
    return checked;
}

// Freed pages are overwritten (secure_delete), the log is emptied, and copies from before a
// migration, which have it too, go.
void purge_conversations(Database& database, const std::vector<int64_t>& rows,
                         const ForgetLines& forget) {
    if (rows.empty()) return;
    database.run("PRAGMA synchronous = FULL");
    Transaction transaction(database);
    std::vector<CachedLine> lines;
    for (const int64_t row : rows) {
        std::ranges::move(KeptLines(database).of(row), std::back_inserter(lines));
        Shelf(database).purge(row);
    }
    // Before the rows that name them are gone for good: what is cut short here is done again.
    if (forget && !lines.empty()) forget(lines);
    transaction.commit();
    database.text("PRAGMA wal_checkpoint(TRUNCATE)");
    std::error_code ignored;
    fs::remove_all(backup_folder(database), ignored);
}

void empty_trash(Database& database, const ForgetLines& forget) {
    using std::chrono::milliseconds;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto limit = now - std::chrono::hours(24 * kTrashDays);
    const auto rows =
        Shelf(database).deleted_before(std::chrono::duration_cast<milliseconds>(limit).count());
    purge_conversations(database, rows, forget);
}

}  // namespace core
