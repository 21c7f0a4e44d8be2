// The question in front of a prompt that does not fit the context: what leaves it, or how it grows.
#include <array>
#include <string>

#include "app/chat/chat_app.h"
#include "app/chat/panel.h"
#include "core/base/units.h"

namespace app {
namespace {

constexpr std::array kChoices = {ContextChoice::leave_out, ContextChoice::compact,
                                 ContextChoice::enlarge, ContextChoice::fork,
                                 ContextChoice::cancel};

// The first words of a turn, for a list of those that would leave.
std::string first_words(const chat::Turn& turn) {
    constexpr size_t kBytes = 60;
    std::string text = turn.text.substr(0, kBytes);
    for (char& c : text)
        if (c == '\n') c = ' ';
    return (turn.role == chat::Role::user ? "▸ " : "▾ ") + text;
}

class ContextPanel : public Panel {
  public:
    ContextPanel() : Panel("context") { list().set_hint("Enter or 1-5 choose, q cancel"); }

    std::string_view name() const override { return "context"; }
    std::string title() const override { return "the question when the context is full"; }

    std::vector<PanelKey> keys() const override {
        return {{"1", "leave out"},
                {"2", "sum up"},
                {"3", "larger context"},
                {"4", "fork"},
                {"5", "cancel"}};
    }

    void refresh(const ChatApp& app) override {
        const ContextQuestion* question = app.session().context_question();
        if (question == nullptr || !rows_wanted_) return;
        rows_wanted_ = false;
        const ContextPlan& plan = question->plan;
        list().set_title("does not fit: " + core::with_commas(plan.prompt) + " of " +
                         core::with_commas(plan.limit) + " tokens");
        const auto [larger, bytes] = app.session().larger_context();
        const std::string oldest = "the oldest " + std::to_string(plan.leaving.size()) + " turns";
        std::vector<ui::PanelRow> rows;
        const auto add = [&rows](ContextChoice choice, std::string text, std::string detail = {}) {
            const auto key = static_cast<uint64_t>(choice) + 1;
            rows.push_back({.key = key,
                            .text = std::to_string(key) + "  " + std::move(text),
                            .detail = std::move(detail)});
        };
        if (plan.helps()) {
            const std::string left = "then " + core::with_commas(plan.left) + " tokens";
            add(ContextChoice::leave_out, "leave out " + oldest, left);
            add(ContextChoice::compact, "sum up " + oldest, left + " and the summary");
        }
        add(ContextChoice::enlarge, "enlarge the context to " + core::with_commas(larger),
            bytes > 0 ? "+" + core::human_bytes(bytes) + ", loads the model anew" : "");
        if (plan.helps())
            add(ContextChoice::fork, "a new conversation without them", "this one stays as it is");
        add(ContextChoice::cancel, "cancel", "the message stays and is not answered");
        for (const chat::TurnId id : plan.leaving)
            rows.push_back({.key = kTurns + id,
                            .text = "   " + first_words(app.session().conversation().turn(id)),
                            .style = ui::StyleName::outside_context});
        list().set_rows(std::move(rows));
    }

  protected:
    bool choose(ChatApp& app) override {
        const ui::PanelRow* row = list().current();
        if (row == nullptr || row->key >= kTurns) return true;
        return decide(app, row->key);
    }

    bool act(ChatApp& app, std::string_view key) override {
        return decide(app, static_cast<uint64_t>(key.front() - '0'));
    }

    void closed(ChatApp& app) override {
        decide(app, static_cast<uint64_t>(ContextChoice::cancel) + 1);
    }

  private:
    static constexpr uint64_t kTurns = 100;  // keys of turns that would leave

    bool decide(ChatApp& app, uint64_t number) {
        const ContextQuestion* question = app.session().context_question();
        if (question == nullptr) return false;
        const ContextChoice choice = kChoices.at(number - 1);
        const bool needs_plan = choice == ContextChoice::leave_out ||
                                choice == ContextChoice::compact || choice == ContextChoice::fork;
        if (needs_plan && !question->plan.helps()) return true;
        app.session().decide(choice, app.now());
        return false;
    }

    bool rows_wanted_ = true;
};

}  // namespace

std::unique_ptr<Panel> context_panel() {
    return std::make_unique<ContextPanel>();
}

}  // namespace app
