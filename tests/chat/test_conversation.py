"""What was said so far."""

from kubectl_modelcar.chat import Conversation


class TestConversation:
    def test_messages_are_the_system_prompt_and_the_turns(self):
        """The chat API gets all of it in order."""
        conversation = Conversation("Be brief.").with_user("Hello").with_answer("Hi.").with_user("Bye")
        assert conversation.messages() == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": "Bye"},
        ]

    def test_without_a_system_prompt_there_is_none(self):
        """An empty system message would change what some templates do."""
        assert Conversation().with_user("Hello").messages() == [{"role": "user", "content": "Hello"}]

    def test_is_a_value(self):
        """Going on makes a new conversation and leaves the old one."""
        begun = Conversation("Be brief.")
        assert (begun.with_user("Hello").cleared(), begun.turns) == (begun, ())
