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
#include "core/store/store_desk.h"

namespace core {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileName = "chats.db";
constexpr std::string_view kInMemory = " The chat continues in memory.";

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
    StoreOpened open_beside_another(int process);
    StoreOpened open_for_reading(std::string sentence);
    // Constant after construction.
    const StoreOptions options_;
    const std::string path_;
    StoreChannel& channel_;

    // Store thread only.
    std::optional<FileLock> lock_;  // released after the database is closed
    std::optional<Database> database_;

    std::thread thread_;  // last: it uses everything above
};

void Store::Impl::run() {
    StoreOpened opened = open();
    StoreDesk desk(database_ ? &*database_ : nullptr, opened.access, options_);
    channel_.events.push(std::move(opened));
    for (bool open = true; open;) {
        pollfd wait = {.fd = channel_.requests.fd(), .events = POLLIN, .revents = 0};
        ::poll(&wait, 1, -1);
        channel_.requests.acknowledge();
        while (auto request = channel_.requests.pop()) {
            open = !std::holds_alternative<CloseStore>(*request);
            if (!open) break;
            channel_.events.push(desk.answer(*request));
        }
    }
    database_.reset();
    lock_.reset();
}

// --- opening ----------------------------------------------------------------------------------

StoreOpened Store::Impl::open() {
    try {
        make_private_folder(options_.folder);
        lock_.emplace(path_ + ".lock");
        switch (lock_->state()) {
            case FileLock::State::held: return open_for_writing();
            case FileLock::State::elsewhere: return open_beside_another(lock_->holder());
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

StoreOpened Store::Impl::open_beside_another(int process) {
    StoreOpened opened = open_for_reading(
        "Another moxie" + (process == 0 ? "" : " (pid " + std::to_string(process) + ")") +
        " holds this database.");
    opened.other_process = process;
    return opened;
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
                                ". Opened read-only. Upgrade, or moxie chats export.");
    database_->text("PRAGMA journal_mode = WAL");
    database_->run("PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON");
    migrate(*database_);
    Transaction transaction(*database_);
    Shelf(*database_).mark_cut_off();
    transaction.commit();
    empty_trash(*database_, options_.forget_lines);
    return {.access = StoreAccess::writable, .sentence = {}};
}

StoreOpened Store::Impl::open_for_reading(std::string sentence) {
    database_.reset();
    const auto try_open = [this](Database::Access access) {
        database_.emplace(Database::open(path_, access));
        if (!database_->has_table("conversation")) return false;
        // An older one cannot be brought up to date where nothing may be written.
        if (schema_version(*database_) < schema_migrations().size()) {
            Database copy = database_->copy_in_memory();
            database_.emplace(std::move(copy));
            migrate(*database_);
        }
        return true;
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

Store::Store(StoreOptions options, StoreChannel& channel)
    : impl_(std::make_unique<Impl>(std::move(options), channel)) {}

Store::~Store() = default;

}  // namespace core
