// A side panel of the chat: a list (ui/list_panel.h) and what its rows and keys mean.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ui/list_panel.h"

namespace app {

class ChatApp;

// A key of a panel beside those of every list; the hint below the panel and /help come from these.
struct PanelKey {
    std::string_view key;  // as ui::key_name() gives it
    std::string_view help;
};

class Panel {
  public:
    explicit Panel(std::string title) : list_(std::move(title)) {}
    virtual ~Panel() = default;
    Panel(const Panel&) = delete;
    Panel& operator=(const Panel&) = delete;

    // The command that opens and closes it.
    virtual std::string_view name() const = 0;
    // "/tree", or what it is where no command opens it.
    virtual std::string title() const { return "/" + std::string(name()); }
    virtual std::vector<PanelKey> keys() const = 0;
    // Brings the rows in step with the session.
    virtual void refresh(const ChatApp& app) = 0;
    // Asks for what the rows that are on the screen lack.
    virtual void look(ChatApp& /*app*/) {}

    // May throw core::Error, which the caller shows. Returns whether the panel stays open.
    bool on_key(ChatApp& app, const ui::Key& key);
    ui::ListPanel& list() { return list_; }
    const ui::ListPanel& list() const { return list_; }

  protected:
    // Enter on the current row, one of keys(), a line that was asked for. False: close the panel.
    virtual bool choose(ChatApp& app) = 0;
    virtual bool act(ChatApp& app, std::string_view key) = 0;
    virtual void entered(ChatApp& /*app*/, std::string_view /*prompt*/, std::string_view /*text*/) {
    }
    virtual void typed(ChatApp& /*app*/) {}
    virtual void closed(ChatApp& /*app*/) {}

  private:
    ui::ListPanel list_;
};

// F2: the saved conversations.
std::unique_ptr<Panel> conversation_panel();
// F3: the models of this machine.
std::unique_ptr<Panel> model_panel();
// What to do with a prompt that does not fit; opens by itself.
std::unique_ptr<Panel> context_panel();
// F8: the branches of the one that is shown.
std::unique_ptr<Panel> tree_panel();

// All of them, new and empty.
std::vector<std::unique_ptr<Panel>> all_panels();

}  // namespace app
