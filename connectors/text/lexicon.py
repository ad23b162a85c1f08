"""Words that praise and words that blame, as stems: what the sentiment of a text is counted by."""

from typing import Final

from connectors.text.words import stem, words

_NEGATIONS_LISTED = """
not no never none neither nor without hardly cannot can't don't doesn't isn't wasn't
"""
NEGATIONS: Final = frozenset(_NEGATIONS_LISTED.split())

_POSITIVE_LISTED = """
able admire advantage agree amazing appreciate approve assure beautiful benefit best better bless brave
bright brilliant calm capable care celebrate cheerful clean clear comfortable confident consent correct
courage creative delight dependable deserve dignity easy effective efficient elegant encourage enjoy
ensure equal excellent excite fair faithful fast favor favour fine flourish fortunate free freedom fresh
friend friendly fun generous gentle genuine glad good gracious grateful great happiness happy harmony
healthy help helpful honest honor honour hope humane ideal impress improve independence independent
innocent joy just justice kind kindred liberty like love loyal magnanimity merit nice noble optimistic
outstanding peace perfect pleasant please positive praise precise profit progress proper prosper protect
proud pure reliable remarkable respect right robust safe safety satisfy secure simple smart smooth solid
sound splendid stable strong succeed success support sweet terrific thank thrive triumph true trust
useful valuable victory virtue warm welcome well wholesome win wisdom wise wonderful worth worthy
"""
POSITIVE: Final = frozenset(stem(word) for word in _POSITIVE_LISTED.split())
_NEGATIVE_LISTED = """
abandon abdicate abolish absurd abuse afraid aggressive alarm angry annihilate annoy anxious arbitrary
attack awful bad barbarous barrier betray bitter blame break broken bug burden burn captive catastrophe
chaos cheat combat complain complex conflict confuse constrain convulsion corrupt crash crime criticise
crude cruel cruelty damage danger dangerous dark dead deaf death defect delay deny dependent deplorable
deprive despair despotism destroy destruction difficult disappoint disaster disavow dislike dismiss
dissolve distant distress disturb doubt dread enemy error evil expensive exploit expose fail failure
false fatal fatigue fault fear fight flaw foe fool fraud frustrate grief grievance guilty harass harm
harsh hate helpless hopeless horrible hostile hurt ignore illegal impatient impose impossible inadequate
incite inferior injure injury injustice insecure insult insurrection interrupt invade invasion jealous
kill lack late lie lose loss mad merciless mercenary miserable misery mistake mock neglect nasty
negative noise obstruct offend oppress oppression outrage pain panic perfidy plunder poor prison problem
punish quit rage ravage refuse regret reject rude ruin sad savage scandal severe shame sick slow sorrow
stale steal strange stress stuck stupid suffer suspend suspicion terrible terror threat threaten tragic
trouble tyranny tyrant ugly unable uncomfortable undistinguished unfair unfit unhappy unworthy upset
useless usurpation vicious victim violate violence war warfare waste weak worry worse worst wretched
wrong
"""
NEGATIVE: Final = frozenset(stem(word) for word in _NEGATIVE_LISTED.split())


def feelings(text: str) -> tuple[list[str], list[str]]:
    """Return the praising and the blaming words of `text`; one after a negation counts as its opposite."""
    good: list[str] = []
    bad: list[str] = []
    found = words(text)
    for index, word in enumerate(found):
        root = stem(word)
        positive, negative = root in POSITIVE, root in NEGATIVE
        if not positive and not negative:
            continue
        negated = any(other in NEGATIONS for other in found[max(0, index - 3) : index])
        shown = f"not {word}" if negated else word
        (good if positive != negated else bad).append(shown)
    return good, bad
