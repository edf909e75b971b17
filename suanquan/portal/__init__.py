"""Pages for people: server-rendered, without JavaScript, Chinese first and English second."""
