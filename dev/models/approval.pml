/* One question, from ask to its one use: two daemons' workers, two approvers of whom one answers from two
 * devices, and everything that may happen meanwhile, in every order.
 *
 * Properties, each an assertion:
 *   1. one approval permits once, and one permit has one effect (I-29);
 *   2. nothing is permitted after a denial, a withdrawal, an expiry or a task's end has committed, nor
 *      under another policy or tool than the one that was asked about (I-35);
 *   3. a denial is final (I-36);
 *   4. what permits are answers of two different persons who are entitled at that moment (I-36);
 *   5. after a crash between consumption and outcome nothing runs that was not decided anew (I-30);
 *   6. a question that is over leaves no action held;
 *   7. of a held action and what a person narrowed it to one is permitted, once.
 *
 * An atomic block is one transaction. -DNO_<GUARD> takes a guard out; each one that is out breaks a property.
 * The moves are those of core/approval/state.py and core/action/state.py, all of them: tests/models compares.
 */

mtype = { approval_pending, approval_approved, approval_denied, approval_expired, approval_withdrawn,
          approval_superseded, approval_consumed, approval_narrowed };
mtype = { action_held, action_permitted, action_sent, action_succeeded, action_failed, action_unknown,
          action_refused, action_withdrawn, action_expired, action_not_sent, action_lapsed,
          action_reconciled_succeeded, action_reconciled_failed, action_unwatched };

mtype = { less_none, less_open, less_used };

mtype less = less_none;         /* what it was narrowed to: nothing, an approved question, one that was used */
mtype approval = approval_pending;
mtype action = action_held;

/* The facts that a consumption looks at, as the database has them. */
bool ended, late, policy_changed, tool_changed;
bool said_yes_1, said_yes_2, left_2;
byte yeses;                     /* answers, not persons */
bool unwatched;                 /* nobody tells what comes of it: it is used when it is permitted */
bool handed;                    /* the permit has reached its holder */
bool gone;                      /* its holder crashed */

/* What only the properties look at. */
bool denied_once;
byte permits, effects;

#define approval_move(event, from, to) assert(approval == from); approval = to
#define action_move(event, from, to)   assert(action == from); action = to

/* G: distinct persons, not answers. */
#ifdef NO_DISTINCT
#define ENOUGH (yeses >= 2)
#else
#define ENOUGH (said_yes_1 && said_yes_2)
#endif

/* G: entitled when it is used, not only when they answered. */
#ifdef NO_ENTITLED
#define ENTITLED true
#else
#define ENTITLED (!left_2)
#endif

/* G: compare-and-set: what was used is not there to be used. */
#ifdef NO_ONCE
#define UNUSED (approval == approval_approved || approval == approval_consumed)
#else
#define UNUSED (approval == approval_approved)
#endif

#ifdef NO_TASK
#define TASK true
#else
#define TASK (!ended)
#endif

#ifdef NO_DEADLINE
#define DEADLINE true
#else
#define DEADLINE (!late)
#endif

#ifdef NO_POLICY
#define POLICY true
#else
#define POLICY (!policy_changed)
#endif

#ifdef NO_TOOL
#define TOOL true
#else
#define TOOL (!tool_changed)
#endif

/* G: what was narrowed to is used once, as any other. */
#ifdef NO_LESS
#define LESS_UNUSED (less != less_none)
#else
#define LESS_UNUSED (less == less_open)
#endif

#define MAY_USE (UNUSED && ENOUGH && ENTITLED && TASK && DEADLINE && POLICY && TOOL)

/* G: what befalls the question befalls the held action, in the same transaction. */
#ifdef NO_BEFALLS
#define BEFALLS(event, to) skip
#else
#define BEFALLS(event, to) action_move(event, action_held, to)
#endif

inline settled() {
    assert(approval == approval_pending || approval == approval_approved || action != action_held)   /* 6 */
}

inline approve(person) {
    atomic {
        if
        :: approval == approval_pending ->
            yeses++;
            if
            :: person == 1 -> said_yes_1 = true
            :: else -> said_yes_2 = true
            fi;
            if
            :: ENOUGH -> approval_move(approve, approval_pending, approval_approved)
            :: else -> skip
            fi
#ifdef NO_FINAL
        :: approval == approval_denied && person == 1 -> /* a later yes overrules a no */
            said_yes_1 = true; said_yes_2 = true; yeses = 2;
            approval = approval_approved; action = action_held
#endif
        :: else -> skip
        fi;
        settled()
    }
}

inline deny() {
    atomic {
        if
        :: approval == approval_pending ->
            denied_once = true;
            approval_move(deny, approval_pending, approval_denied);
            BEFALLS(refuse, action_refused)
        :: approval == approval_approved ->
            denied_once = true;
#ifndef NO_DENIABLE
            approval_move(deny, approval_approved, approval_denied);
            BEFALLS(refuse, action_refused)
#endif
        :: else -> skip
        fi;
        settled()
    }
}

/* One transaction: the held action is over, and a narrower one has a question with the same yes. */
inline narrow() {
    atomic {
        if
        :: approval == approval_pending ->
#ifndef NO_NARROWS
            approval_move(narrow, approval_pending, approval_narrowed);     /* G: it ends the held one */
            BEFALLS(refuse, action_refused);
#endif
            less = less_open
        :: approval == approval_approved ->
#ifndef NO_NARROWS
            approval_move(narrow, approval_approved, approval_narrowed);
            BEFALLS(refuse, action_refused);
#endif
            less = less_open
        :: else -> skip
        fi;
        settled()
    }
}

proctype Approver(byte person; byte answers) {
    do
    :: answers > 0 ->
        answers--;
        if
        :: true -> approve(person)
        :: true -> deny()
        :: true -> narrow()
        :: true
        fi
    :: else -> break
    od
}

/* A person loses the role after answering. */
proctype Leaver() { left_2 = true }

proctype Clock() {
    late = true;
    atomic {                    /* the round that marks what is over comes later */
        if
        :: approval == approval_pending ->
            approval_move(expire, approval_pending, approval_expired);
            BEFALLS(expire, action_expired)
        :: approval == approval_approved ->
            approval_move(expire, approval_approved, approval_expired);
            BEFALLS(expire, action_expired)
        :: else -> skip
        fi;
        settled()
    }
}

inline withdraw() {
    atomic {
        if
        :: approval == approval_pending ->
            approval_move(withdraw, approval_pending, approval_withdrawn);
            BEFALLS(withdraw, action_withdrawn)
        :: approval == approval_approved ->
            approval_move(withdraw, approval_approved, approval_withdrawn);
            BEFALLS(withdraw, action_withdrawn)
        :: else -> skip
        fi;
        settled()
    }
}

/* The task ends; its holds are taken back in a later transaction. The agent's client may do the same alone. */
proctype Owner() {
    if
    :: ended = true; withdraw()
    :: true -> withdraw()
    :: skip
    fi
}

/* Another policy or tool; what was asked is superseded in a later transaction. */
proctype Administrator() {
    if
    :: policy_changed = true
    :: tool_changed = true
    :: skip
    fi;
    atomic {
        if
        :: (policy_changed || tool_changed) && approval == approval_pending ->
            approval_move(supersede, approval_pending, approval_superseded);
            BEFALLS(withdraw, action_withdrawn)
        :: (policy_changed || tool_changed) && approval == approval_approved ->
            approval_move(supersede, approval_approved, approval_superseded);
            BEFALLS(withdraw, action_withdrawn)
        :: else -> skip
        fi;
        settled()
    }
}

inline consume() {
    permits++;
    assert(permits <= 1);                                                           /* 1 */
    assert(!denied_once);                                                           /* 2, 3 */
    assert(!ended && !late && !policy_changed && !tool_changed);                    /* 2 */
    assert(approval != approval_withdrawn && approval != approval_expired &&
           approval != approval_superseded && approval != approval_denied);         /* 2 */
    assert(said_yes_1 && said_yes_2 && !left_2);                                    /* 4 */
    approval_move(consume, approval_approved, approval_consumed);
    if
    :: unwatched -> action_move(permit_unwatched, action_held, action_unwatched); act()
    :: else -> action_move(permit, action_held, action_permitted)
    fi
}

inline act() {
    effects++;
    assert(effects <= 1);                                                           /* 1 */
    assert(!gone)                                                                   /* 5 */
}

/* The narrower action, presented by whoever was told of it; what comes of it is as of any permit. */
inline take() {
    if
    :: LESS_UNUSED && TASK && DEADLINE && POLICY && TOOL ->
        permits++;
        assert(permits <= 1);                                                       /* 7 */
        assert(!ended && !late && !policy_changed && !tool_changed);                /* 2 */
        less = less_used
    :: else -> skip
    fi
}

proctype Worker() {
    bool may, mine;

    /* Evaluation: read only, outside the lock. */
    atomic { may = MAY_USE };
    if
    :: !may && less == less_open -> atomic { take() }; goto done
    :: !may && less != less_open -> goto done
    :: else
    fi;
#ifdef NO_TRANSACTION
    atomic { consume(); mine = true };              /* G: what was looked at before is believed */
#else
    atomic {                                        /* the check and the consumption are one transaction */
        if
        :: MAY_USE -> consume(); mine = true
        :: else -> skip
        fi
    };
#endif
    if
    :: !mine -> goto done
    :: else
    fi;
    if
    :: gone = true; goto done                       /* crash between consumption and send */
    :: handed = true
    fi;
    if
    :: atomic { action == action_permitted -> action_move(not_send, action_permitted, action_not_sent) };
#ifdef NO_SPENT
       atomic { approval = approval_approved; action = action_held }   /* G: not sent never gives an approval back */
#endif
    :: atomic { action == action_permitted -> action_move(send, action_permitted, action_sent) };
       act();
       if
       :: gone = true                               /* crash between send and outcome */
       :: atomic { action == action_sent -> action_move(succeed, action_sent, action_succeeded) }
       :: atomic { action == action_sent -> action_move(fail, action_sent, action_failed) }
       fi
    :: gone = true
    :: action != action_permitted -> skip           /* the permit ran out */
    fi;
done:
    skip
}

/* What a daemon does about a permit whose holder is lost. */
proctype Recovery() {
    if
    :: atomic { gone && action == action_permitted ->
#ifdef NO_UNKNOWN
        action_move(send, action_permitted, action_sent);
        act()                                       /* G: an unknown outcome is never retried */
#else
        action_move(lose, action_permitted, action_unknown)
#endif
       }
    :: atomic { gone && action == action_sent ->
#ifdef NO_UNKNOWN
        act()
#else
        action_move(lose, action_sent, action_unknown)
#endif
       }
#ifdef NO_REACHED
    :: atomic { action == action_permitted || action == action_sent -> action = action_lapsed; assert(!handed) }
#else
    :: atomic { action == action_permitted && !handed && !gone ->   /* G: only what never reached its holder lapses */
        action_move(lapse, action_permitted, action_lapsed) }
#endif
    :: skip
    fi;
    if
    :: atomic { action == action_unknown ->
        if
        :: action_move(reconcile_succeeded, action_unknown, action_reconciled_succeeded)
        :: action_move(reconcile_failed, action_unknown, action_reconciled_failed)
        fi }
    :: skip
    fi
}

init {
    atomic {
        if
        :: unwatched = true
        :: skip
        fi;
        run Approver(1, 2);
        run Approver(2, 1);
        run Leaver();
        run Clock();
        run Owner();
        run Administrator();
        run Worker();
        run Worker();
        run Recovery()
    }
}
