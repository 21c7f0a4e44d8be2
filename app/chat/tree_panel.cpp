// The branches of the conversation: every turn a row, indented where the tree forks.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "app/chat/chat_app.h"
#include "app/chat/panel.h"
#include "app/session/line_states.h"

namespace app {
namespace {

using chat::Turn;
using chat::TurnId;

class TreePanel : public Panel {
  public:
    TreePanel() : Panel("branches") {
        list().set_empty("nothing was said yet");
        list().set_hint("Enter shows  r f p x D U q   F1 tells");
    }

    std::string_view name() const override { return "tree"; }

    std::vector<PanelKey> keys() const override {
        return {{"r", "another answer"}, {"f", "fork"},   {"p", "pin"},
                {"x", "leave out"},      {"D", "remove"}, {"U", "undo"}};
    }

    void refresh(const ChatApp& app) override {
        const chat::Conversation& tree = app.session().conversation();
        // All states of a tree differ in one of these, or in a flag, which is changed here.
        const State state = {tree.size(), tree.tip(), app.session().conversation_number(),
                             app.session().busy(), app.session().line_states().changes()};
        if (state == shown_) return;
        const bool first = shown_.number == 0 || shown_.number != state.number;
        shown_ = state;
        std::vector<std::vector<TurnId>> children(size_t{tree.size()} + 1);
        for (TurnId id = 1; id <= tree.size(); ++id)
            if (!tree.turn(id).flags.removed) children[tree.turn(id).parent].push_back(id);
        std::vector<ui::PanelRow> rows;
        // Depth first without recursion: a line may have thousands of turns.
        std::vector<std::pair<TurnId, int>> waiting;
        const auto push_children = [&](TurnId parent, int depth) {
            const std::vector<TurnId>& here = children[parent];
            const int next = depth + (here.size() > 1 ? 1 : 0);
            for (auto child = here.rbegin(); child != here.rend(); ++child)
                waiting.emplace_back(*child, next);
        };
        push_children(0, 0);
        ends_.clear();
        while (!waiting.empty()) {
            const auto [id, depth] = waiting.back();
            waiting.pop_back();
            rows.push_back(row_of(tree, id, depth));
            if (children[id].empty()) {
                ends_.insert(id);
                rows.back().detail = app.session().line_states().label(state.number, id);
            }
            push_children(id, depth);
        }
        list().set_rows(std::move(rows));
        if (first) list().select(tree.tip());
    }

    // A branch is what ends with a turn that nothing follows.
    void look(ChatApp& app) override {
        std::vector<TurnId> seen;
        for (const uint64_t key : list().visible())
            if (ends_.contains(static_cast<TurnId>(key))) seen.push_back(static_cast<TurnId>(key));
        app.session().line_states().look_at(app.session().conversation(), shown_.number, seen);
    }

  protected:
    bool choose(ChatApp& app) override {
        app.report(app.session().show_turn(current()));
        return false;
    }

    bool act(ChatApp& app, std::string_view key) override {
        ChatSession& session = app.session();
        if (key == "U") {
            app.report(session.restore_subtree());
        } else if (current() == 0) {
            return true;
        } else if (key == "r") {
            app.report(session.regenerate({.prompt = current()}, app.now()));
        } else if (key == "f") {
            app.report(session.fork(current(), {}));
            return false;
        } else if (key == "D") {
            app.report(session.remove_subtree(current()));
        } else {
            chat::TurnFlags flags = session.conversation().turn(current()).flags;
            bool& flag = key == "p" ? flags.pinned : flags.excluded;
            flag = !flag;
            app.report(session.set_flags(current(), flags));
        }
        shown_ = {};
        return true;
    }

  private:
    struct State {
        TurnId size = 0;
        TurnId tip = 0;
        uint32_t number = 0;
        bool busy = false;
        uint64_t labels = 0;
        friend bool operator==(const State&, const State&) = default;
    };

    static ui::PanelRow row_of(const chat::Conversation& tree, TurnId id, int depth) {
        constexpr int kDeepest = 8;
        const Turn& turn = tree.turn(id);
        std::string text(2 * static_cast<size_t>(std::min(depth, kDeepest)), ' ');
        text += turn.role == chat::Role::user ? "▸ " : "▾ ";
        constexpr size_t kShown = 200;  // bytes; no panel is as wide
        text += turn.text.substr(0, kShown);
        std::string aside = turn.flags.pinned ? "pinned" : "";
        if (turn.flags.excluded) aside += aside.empty() ? "left out" : ", left out";
        return {
            .key = id,
            .text = std::move(text),
            .aside = std::move(aside),
            .style = turn.role == chat::Role::user ? ui::StyleName::role_user : ui::StyleName::text,
            .marked = tree.is_on_line(id)};
    }

    TurnId current() const {
        const ui::PanelRow* row = list().current();
        return row == nullptr ? 0 : static_cast<TurnId>(row->key);
    }

    State shown_;
    std::set<TurnId> ends_;  // of lines, among the rows
};

}  // namespace

std::unique_ptr<Panel> tree_panel() {
    return std::make_unique<TreePanel>();
}

}  // namespace app
