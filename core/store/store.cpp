#include "core/store/store.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "core/base/log.h"
#include "core/base/paths.h"
#include "core/base/units.h"
#include "core/store/database.h"
#include "core/store/file_lock.h"
#include "core/store/schema.h"
#include "core/store/shelf.h"

namespace core {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileName = "chats.db";
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

// Everything but the construction and the destructor happens on the store's thread.
class Store::Impl {
  public:
    Impl(StoreOptions options, StoreChannel& channel)
        : options_(std::move(options)),
          path_((fs::path(options_.folder) / kFileName).string()),
          channel_(channel),
          thread_([this] { run(); }) {}

    ~Impl() {
        channel_.requests.push(CloseStore{});
        thread_.join();
    }

  private:
    void run();
    StoreOpened open();
    StoreOpened open_for_writing();
    StoreOpened open_for_reading(std::string sentence);
    bool handle(StoreRequest& request);
    void fail(const StoreRequest& request, StoreTrouble trouble, std::string sentence);

    void on(const SaveTurns& request);
    void on(const LoadConversation& request);
    void on(const ListConversations& request);
    void on(const RemoveConversation& request);
    void purge(int64_t conversation);

    Database& database();
    Database& writable();

    // Constant after construction.
    const StoreOptions options_;
    const std::string path_;
    StoreChannel& channel_;

    // Store thread only.
    std::optional<FileLock> lock_;  // released after the database is closed
    std::optional<Database> database_;
    StoreAccess access_ = StoreAccess::none;
    std::map<ConversationRef, int64_t> rows_;

    std::thread thread_;  // last: it uses everything above
};

void Store::Impl::run() {
    StoreOpened opened = open();
    access_ = opened.access;
    channel_.events.push(std::move(opened));
    while (true) {
        pollfd wait = {.fd = channel_.requests.fd(), .events = POLLIN, .revents = 0};
        ::poll(&wait, 1, -1);
        channel_.requests.acknowledge();
        while (auto request = channel_.requests.pop())
            if (!handle(*request)) {
                database_.reset();
                lock_.reset();
                return;
            }
    }
}

// --- opening ----------------------------------------------------------------------------------

StoreOpened Store::Impl::open() {
    try {
        make_private_folder(options_.folder);
        lock_.emplace(path_ + ".lock");
        switch (lock_->state()) {
            case FileLock::State::held: return open_for_writing();
            case FileLock::State::elsewhere:
                return open_for_reading("Another moxie" +
                                        (lock_->holder() == 0
                                             ? std::string()
                                             : " (pid " + std::to_string(lock_->holder()) + ")") +
                                        " holds the saved chats. This one reads them and saves "
                                        "nothing.");
            case FileLock::State::unavailable: break;
        }
        return open_for_reading(options_.folder +
                                " is read-only: chats are read from it, nothing is saved.");
    } catch (const std::exception& error) {
        database_.reset();
        log_error(error.what());
        const auto* ours = dynamic_cast<const Error*>(&error);
        return {.access = StoreAccess::none,
                .sentence = "Cannot save: " + (ours != nullptr ? ours->sentence() : error.what()) +
                            std::string(kInMemory)};
    }
}

StoreOpened Store::Impl::open_for_writing() {
    // SQLite gives the files beside the database the mode that the database has.
    const int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0) return open_for_reading(path_ + " is read-only: nothing is saved.");
    ::close(fd);
    database_.emplace(Database::open(path_, Database::Access::create));
    if (options_.page_limit != 0)
        database_->run("PRAGMA max_page_count = " + std::to_string(options_.page_limit));
    const uint32_t version = schema_version(*database_);
    const size_t known = schema_migrations().size();
    if (version > known)
        return open_for_reading(std::string(kFileName) + " is version " + std::to_string(version) +
                                "; this build knows " + std::to_string(known) +
                                ". Opened read-only: nothing is saved.");
    database_->text("PRAGMA journal_mode = WAL");
    database_->run("PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON");
    migrate(*database_);
    Transaction transaction(*database_);
    Shelf(*database_).mark_cut_off();
    transaction.commit();
    return {.access = StoreAccess::writable, .sentence = {}};
}

StoreOpened Store::Impl::open_for_reading(std::string sentence) {
    database_.reset();
    const auto try_open = [this](Database::Access access) {
        database_.emplace(Database::open(path_, access));
        return database_->has_table("conversation");
    };
    bool usable = false;
    try {
        usable = try_open(Database::Access::read_only);
    } catch (const DatabaseError&) {
        // Readers of a WAL database make files beside it; where they cannot, nobody writes either.
        database_.reset();
        std::error_code error;
        if (fs::exists(path_, error)) usable = try_open(Database::Access::frozen);
    }
    if (!usable) database_.reset();
    return {.access = usable ? StoreAccess::read_only : StoreAccess::none,
            .sentence = std::move(sentence)};
}

// --- requests ---------------------------------------------------------------------------------

Database& Store::Impl::database() {
    if (!database_)
        throw DatabaseError(StoreTrouble::not_found, "", "there are no saved chats here");
    return *database_;
}

Database& Store::Impl::writable() {
    if (access_ != StoreAccess::writable)
        throw DatabaseError(StoreTrouble::read_only, path_, "is not open for writing");
    return *database_;
}

// False: that was the last one.
bool Store::Impl::handle(StoreRequest& request) {
    if (std::holds_alternative<CloseStore>(request)) return false;
    try {
        std::visit(
            [this](const auto& r) {
                if constexpr (!std::is_same_v<std::decay_t<decltype(r)>, CloseStore>) on(r);
            },
            request);
    } catch (const DatabaseError& error) {
        const bool saving = std::holds_alternative<SaveTurns>(request);
        fail(request, error.trouble(),
             saving ? save_sentence(error, options_.folder) : error.sentence());
    } catch (const Error& error) {
        fail(request, StoreTrouble::damaged, error.sentence());
    } catch (const std::exception& error) {
        fail(request, StoreTrouble::other, std::string("Cannot save: ") + error.what() + ".");
    }
    return true;
}

void Store::Impl::fail(const StoreRequest& request, StoreTrouble trouble, std::string sentence) {
    log_warning(sentence);
    channel_.events.push(
        StoreFailed{.id = id_of(request), .trouble = trouble, .sentence = std::move(sentence)});
}

void Store::Impl::on(const SaveTurns& request) {
    Database& database = writable();
    // FULL waits for the disk at every commit, NORMAL at checkpoints only.
    database.run(request.durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
    Shelf shelf(database);
    Transaction transaction(database);
    const auto known = rows_.find(request.conversation);
    const int64_t row = known != rows_.end() ? known->second : shelf.create(request.head);
    shelf.save(row, request.head, request.turns);
    std::string id = shelf.short_id(row);
    transaction.commit();
    rows_[request.conversation] = row;
    channel_.events.push(Saved{
        .id = request.id, .conversation = request.conversation, .conversation_id = std::move(id)});
}

void Store::Impl::on(const LoadConversation& request) {
    Shelf shelf(database());
    const int64_t row = shelf.find(request.prefix);
    Loaded loaded{.id = request.id, .conversation = shelf.load(row)};
    rows_[request.conversation] = row;
    channel_.events.push(std::move(loaded));
}

void Store::Impl::on(const ListConversations& request) {
    channel_.events.push(
        Listed{.id = request.id, .conversations = Shelf(database()).list(request.limit)});
}

void Store::Impl::on(const RemoveConversation& request) {
    Database& database = writable();
    Shelf shelf(database);
    const int64_t row = shelf.exact(request.conversation);
    if (request.how == Removal::purge) {
        purge(row);
    } else {
        Transaction transaction(database);
        shelf.set_deleted(row, request.how == Removal::remove);
        transaction.commit();
    }
    channel_.events.push(Removed{.id = request.id});
}

// Nothing of it stays in any file: freed pages are overwritten (secure_delete), the log is emptied,
// and copies from before a migration, which have it too, go.
void Store::Impl::purge(int64_t conversation) {
    Database& database = *database_;
    database.run("PRAGMA synchronous = FULL");
    Transaction transaction(database);
    Shelf(database).purge(conversation);
    transaction.commit();
    database.text("PRAGMA wal_checkpoint(TRUNCATE)");
    std::error_code ignored;
    fs::remove_all(backup_folder(database), ignored);
    std::erase_if(rows_, [&](const auto& entry) { return entry.second == conversation; });
}

Store::Store(StoreOptions options, StoreChannel& channel)
    : impl_(std::make_unique<Impl>(std::move(options), channel)) {}

Store::~Store() = default;

}  // namespace core
