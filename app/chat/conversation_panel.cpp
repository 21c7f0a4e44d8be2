// The list of saved conversations, and the search in what was said in them.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "app/chat/chat_app.h"
#include "app/chat/panel.h"
#include "app/commands/commands.h"
#include "app/session/library.h"
#include "core/base/units.h"
#include "core/base/utf8.h"

namespace app {
namespace {

constexpr std::string_view kFilter = "/";
constexpr std::string_view kSearch = "//";
constexpr std::string_view kRename = "title: ";

class ConversationPanel : public Panel {
  public:
    ConversationPanel() : Panel("conversations") {
        list().set_empty("no conversation is saved yet");
    }

    std::string_view name() const override { return "conversations"; }

    std::vector<PanelKey> keys() const override {
        return {{"n", "new"},     {"r", "rename"},
                {"p", "pin"},     {"a", "archive"},
                {"d", "delete"},  {"U", "undo"},
                {"x", "export"},  {"s", "search"},
                {"f", "fork"},    {"Space", "choose several"},
                {"K", "drop KV"}, {"T", "trash"},
                {"A", "archived"}};
    }

    void refresh(const ChatApp& app) override {
        const Library& library = app.session().library();
        list().set_title(kind_ == core::ListKind::deleted    ? "trash"
                         : kind_ == core::ListKind::archived ? "archived conversations"
                                                             : "conversations");
        list().set_hint(searching_ ? "Enter open, Esc back"
                                   : "/ // n r p a d U x f K Space T A q  F1");
        std::vector<ui::PanelRow> rows;
        searching_ ? add_hits(library, rows) : add_conversations(app, library, rows);
        list().set_rows(std::move(rows));
    }

  protected:
    bool choose(ChatApp& app) override {
        const std::string id = current();
        if (kind_ == core::ListKind::deleted) {
            app.session().library().remove(id, core::Removal::restore);
            return true;
        }
        const chat::TurnId turn = searching_ ? turns_.at(list().current()->key - 1) : 0;
        run_command(app, "/open " + id);
        if (turn != 0)
            app.when_open(id, [turn](ChatApp& opened) {
                if (turn <= opened.session().conversation().size())
                    opened.report(opened.session().show_turn(turn));
            });
        return false;
    }

    bool act(ChatApp& app, std::string_view key) override {
        Library& library = app.session().library();
        const core::ConversationHead* head = current_head(library);
        if (key == "n") return run_command(app, "/new"), false;
        if (key == "U") return run_command(app, "/undelete"), true;
        if (key == "s") return begin_search(), true;
        if (key == "T") return show(app, core::ListKind::deleted), true;
        if (key == "A") return show(app, core::ListKind::archived), true;
        if (head == nullptr) return true;
        const std::string id = head->id;
        if (key == "Space") {
            if (!chosen_.erase(id)) chosen_.insert(id);
            refresh(app);
        } else if (key == "r") {
            list().ask(std::string(kRename), head->title);
        } else if (key == "f") {
            return fork(app, id), false;
        } else if (const std::set<std::string> ids = std::exchange(chosen_, {}); ids.empty()) {
            act_on(app, *head, key);
        } else {
            for (const core::ConversationHead& one : library.conversations())
                if (ids.contains(one.id)) act_on(app, one, key);
        }
        return true;
    }

    void typed(ChatApp& app) override {
        if (!list().asking()) {
            searching_ = false;
        } else if (list().prompt() == kFilter && list().input() == "/") {
            begin_search();
        } else if (list().prompt() == kSearch) {
            app.session().library().search({.text = std::string(list().input())}, false);
        }
        refresh(app);
    }

    void entered(ChatApp& app, std::string_view prompt, std::string_view text) override {
        if (prompt == kRename)
            app.session().change({.conversation = current(), .title = std::string(text)});
    }

    void look(ChatApp& app) override {
        if (searching_) return;
        const std::vector<uint64_t> keys = list().visible();
        std::vector<const core::ConversationHead*> seen;
        for (const core::ConversationHead& head : app.session().library().conversations())
            if (std::find(keys.begin(), keys.end(), key_of(head)) != keys.end())
                seen.push_back(&head);
        app.session().line_states().look_at(seen);
    }

  private:
    static void act_on(ChatApp& app, const core::ConversationHead& head, std::string_view key) {
        if (key == "p") {
            app.session().change({.conversation = head.id, .pinned = !head.pinned});
        } else if (key == "a") {
            app.session().change({.conversation = head.id, .archived = !head.archived});
        } else if (key == "d") {
            run_command(app, "/delete " + head.id);
        } else if (key == "x") {
            app.session().library().export_stored(head.id, head.id + ".jsonl");
        } else if (key == "K") {
            run_command(app, "/kv drop " + head.id);
        }
    }

    // It begins with the line that the conversation shows.
    static void fork(ChatApp& app, const std::string& id) {
        if (id == app.session().saver().conversation_id()) return run_command(app, "/fork");
        run_command(app, "/open " + id);
        app.when_open(id, [](ChatApp& opened) { run_command(opened, "/fork"); });
    }

    static uint64_t key_of(const core::ConversationHead& head) {
        return std::hash<std::string>()(head.id);
    }

    void begin_search() {
        searching_ = true;
        list().ask(std::string(kSearch));
    }

    void show(ChatApp& app, core::ListKind kind) {
        kind_ = kind_ == kind ? core::ListKind::open : kind;
        app.session().library().list(kind_);
    }

    void add_conversations(const ChatApp& app, const Library& library,
                           std::vector<ui::PanelRow>& rows) {
        ids_.clear();
        const std::string& open = app.session().saver().conversation_id();
        const int64_t now = now_in_ms();
        for (const core::ConversationHead& head : library.conversations()) {
            ids_.push_back(head.id);
            // First what a narrow panel has room for.
            const std::string kept = app.session().line_states().label(head);
            rows.push_back(
                {.key = key_of(head),
                 .text = (chosen_.contains(head.id) ? "✓ " : "") +
                         std::string(head.pinned ? "▲ " : "") + head.title,
                 .aside = age_text(head.updated, now),
                 .detail = kept + (kept.empty() ? "" : " · ") + conversation_figures(head),
                 .marked = head.id == open});
        }
    }

    void add_hits(const Library& library, std::vector<ui::PanelRow>& rows) {
        ids_.clear();
        turns_.clear();
        for (const core::SearchHit& hit : library.hits()) {
            ids_.push_back(hit.conversation);
            turns_.push_back(hit.turn);
            rows.push_back({.key = turns_.size(), .text = hit.title, .detail = hit.snippet});
        }
    }

    // The id of the row under the cursor.
    std::string current() const {
        const ui::PanelRow* row = list().current();
        if (row == nullptr) return {};
        if (searching_) return ids_.at(row->key - 1);
        for (const std::string& id : ids_)
            if (std::hash<std::string>()(id) == row->key) return id;
        return {};
    }

    const core::ConversationHead* current_head(const Library& library) const {
        const std::string id = current();
        for (const core::ConversationHead& head : library.conversations())
            if (head.id == id) return &head;
        return nullptr;
    }

    core::ListKind kind_ = core::ListKind::open;
    bool searching_ = false;
    std::set<std::string> chosen_;     // ids; the next key acts on all of them
    std::vector<std::string> ids_;     // in the order of the rows
    std::vector<chat::TurnId> turns_;  // of hits
};

}  // namespace

std::unique_ptr<Panel> conversation_panel() {
    return std::make_unique<ConversationPanel>();
}

}  // namespace app
