/* A call that is decided while its task, its parent, its agent, the policies or the kill switch change, by two
 * daemons over one database, on few remaining uses, with crashes.
 *
 * Properties, each an assertion, and one the lack of deadlock:
 *   1. a revocation that commits while a decision waits wins: nothing is permitted after a committed end of
 *      the task or of its parent, a committed stop, or a committed change of what was evaluated (laws 2, 4; I-22);
 *   2. no limit is passed, and no presentation is permitted twice;
 *   3. an answer that left is durable, with its record, also after a crash (law 5);
 *   4. a result leaves only after a commit that recorded its outcome while the task ran (law 4);
 *   5. locks are taken in one order: nobody waits for ever.
 *
 * An atomic block is one step of the database. What a transaction writes becomes visible at its commit, with
 * the release of its locks. -DNO_<GUARD> takes a guard out; each one that is out breaks a property.
 */

/* States of core/task/state.py and core/action/state.py; the five ways to end are one here, to a commit they are alike. */
mtype = { task_running, task_paused, task_revoked };
mtype = { action_none, action_permitted, action_refused, action_sent, action_succeeded, action_unknown };

/* The rows, as committed. */
mtype task = task_running, parent = task_running;
bool stopped;                   /* the kill switch */
byte basis;                     /* version of agent, tool and policies together */
byte left, left_above;          /* remaining uses of the task, and of its parent, of which they were carved */
bool same;                      /* both daemons were asked by one presentation, with two uses left */
bool known;                     /* the presentation, by its name */
mtype action[2] = action_none;
bool recorded[2];

/* Locks: how many share a row, and whether one has it alone. */
byte switch_shared, parent_shared, task_shared, basis_shared;
bool switch_alone, parent_alone, task_alone, basis_alone, left_alone, above_alone;

/* What only the properties look at. */
bool answered[2];

inline share(shared, alone) { atomic { !alone -> shared++ } }
inline own(shared, alone)   { atomic { !alone && shared == 0 -> alone = true } }

/* G: rows are locked, so that what was read still holds at the commit. */
#ifdef NO_LOCK
#define LOCK_TASK skip
#define UNLOCK_TASK skip
#else
#define LOCK_TASK share(task_shared, task_alone)
#define UNLOCK_TASK task_shared--
#endif

/* G: ancestors are locked and read too. */
#ifdef NO_ANCESTOR
#define PARENT true
#else
#define PARENT (seen_parent == task_running)
#endif

/* G: the kill switch's row is locked and read too. */
#ifdef NO_SWITCH
#define SWITCH true
#else
#define SWITCH (!seen_stopped)
#endif

/* G: a proposal of another basis is stale: it is evaluated again, never settled. */
#ifdef NO_BASIS
#define BASIS true
#else
#define BASIS (seen_basis == evaluated)
#endif

/* G: remainders are locked before they are read. */
#ifdef NO_REMAINDER
#define LOCK_LEFT skip
#define LOCK_ABOVE skip
#define UNLOCK_LEFT skip
#else
#define LOCK_LEFT atomic { !left_alone -> left_alone = true }
#define LOCK_ABOVE atomic { !above_alone -> above_alone = true }
#define UNLOCK_LEFT left_alone = false; above_alone = false
#endif

/* G: what was presented before is a duplicate, whoever asks. */
#ifdef NO_PRIOR
#define PRIOR true
#else
#define PRIOR (!(same && seen_known))
#endif

inline look() {                 /* one statement of the transaction */
    atomic {
        seen_task = task; seen_parent = parent; seen_stopped = stopped; seen_basis = basis
    }
}

inline release() {
    switch_shared--; parent_shared--; basis_shared--; UNLOCK_TASK; UNLOCK_LEFT
}

proctype Daemon(byte me) {
    mtype seen_task, seen_parent;
    bool seen_stopped, seen_known;
    byte seen_basis, evaluated, seen_left, seen_above, rounds;

evaluate:
    /* Views in memory: read without a lock, good for nothing but to propose. */
    atomic {
        evaluated = basis;
        if
        :: task != task_running || parent != task_running || stopped -> goto refuse
        :: else
        fi
    };
#ifdef NO_REREAD
    look();                     /* G: read before the wait, and believed after it */
#endif
    share(switch_shared, switch_alone);
    share(parent_shared, parent_alone);
    LOCK_TASK;
    share(basis_shared, basis_alone);
#ifdef NO_ORDER
    if                          /* G: remainders are locked in one order, whoever asks */
    :: me == 0 -> LOCK_LEFT; LOCK_ABOVE
    :: else -> LOCK_ABOVE; LOCK_LEFT
    fi;
#else
    LOCK_LEFT;
    LOCK_ABOVE;
#endif
#ifndef NO_REREAD
    look();
#endif
    atomic { seen_left = left; seen_above = left_above; seen_known = known };

    /* Settled in memory, from what was locked. */
    if
    :: !BASIS ->
        atomic { release() };
        if
        :: rounds < 1 -> rounds++; goto evaluate
        :: else -> goto refuse                          /* contended */
        fi
    :: else
    fi;
    if
    :: seen_task == task_running && PARENT && SWITCH && PRIOR && seen_left > 0 && seen_above > 0 -> skip
    :: else -> atomic { release() }; goto refuse
    fi;

#ifdef NO_DURABLE
    answered[me] = true;                                /* G: acknowledged before it is durable */
#endif
    if
    :: true -> atomic { release() }; goto done          /* a crash before the commit: nothing happened */
    :: skip
    fi;
    atomic {                                            /* the commit */
        assert(task == task_running && parent == task_running);                         /* 1 */
        assert(!stopped && basis == evaluated);                                         /* 1 */
        assert(left > 0 && left_above > 0);                                             /* 2 */
        assert(!(same && known));                                                       /* 2 */
        left = seen_left - 1;
        left_above = seen_above - 1;
        known = true;
        action[me] = action_permitted;
#ifndef NO_RECORD
        recorded[me] = true;
#endif
        release()
    };
    if
    :: true -> goto done                                /* a crash after the commit: durable, not answered */
    :: skip
    fi;
#ifdef NO_RECORD
    if
    :: true -> answered[me] = true; goto done     /* G: the record follows in a transaction of its own */
    :: recorded[me] = true
    fi;
#endif
    answered[me] = true;
    action[me] = action_sent;                           /* the gateway sends the bytes, and brings the result */
    if
    :: true -> action[me] = action_unknown; goto done   /* lost on the way */
    :: skip
    fi;
#ifdef NO_OUTCOME
    if                                                  /* G: looked at, and released without a commit */
    :: task == task_running && parent == task_running -> goto free
    :: else -> goto done
    fi;
free:
    atomic { assert(task == task_running && parent == task_running); action[me] = action_succeeded };
#else
    share(parent_shared, parent_alone);
    share(task_shared, task_alone);
    atomic {
        if
        :: task == task_running && parent == task_running ->
            assert(task == task_running && parent == task_running);                     /* 4 */
            action[me] = action_succeeded
        :: else -> action[me] = action_unknown          /* withheld */
        fi;
        parent_shared--; task_shared--
    };
#endif
    goto done;
refuse:
    action[me] = action_refused;
done:
    assert(!answered[me] || (action[me] != action_none && recorded[me]));                /* 3 */
    skip
}

/* Whoever ends the task, or pauses it for a while. */
proctype Ender() {
    own(task_shared, task_alone);
    atomic {
        if
        :: task = task_paused
        :: task = task_revoked
        fi;
        task_alone = false
    };
    if
    :: task == task_paused ->
        own(task_shared, task_alone);
        atomic { task = task_running; task_alone = false }
    :: else -> skip
    fi
}

/* Whoever revokes the parent: its descendants end with it, in a later transaction. */
proctype Revoker() {
    own(parent_shared, parent_alone);
    atomic { parent = task_revoked; parent_alone = false }
}

proctype Stopper() {
    own(switch_shared, switch_alone);
    atomic { stopped = true; switch_alone = false }
}

/* Another agent, tool or bundle of policies. */
proctype Administrator() {
    own(basis_shared, basis_alone);
    atomic { basis++; basis_alone = false }
}

init {
    atomic {
        if
        :: left = 1; left_above = 2
        :: left = 2; left_above = 1
        :: left = 2; left_above = 2; same = true
        fi;
        run Daemon(0);
        run Daemon(1);
        run Ender();
        run Revoker();
        run Stopper();
        run Administrator()
    }
}
