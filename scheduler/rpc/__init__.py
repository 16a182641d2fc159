"""ScheduleService: the nights and their timetable over gRPC. The one place of the scheduler that knows wire types."""
